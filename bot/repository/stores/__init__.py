"""One folder of objects behind one small interface; every store passes the same contract suite."""
