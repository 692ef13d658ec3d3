"""Where backups and WAL live: encrypted objects, written once, from which alone everything can be restored."""
