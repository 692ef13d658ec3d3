"""The command line, one file per verb group: read the words, call what does it, show what came of it."""
