"""The WAL receiver: spool, ship, keep the slots; and the one source recovery reads WAL from."""
