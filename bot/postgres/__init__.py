"""Talking to PostgreSQL: connections, base-backup and WAL streams, isolated servers, recovery targets, checks."""
