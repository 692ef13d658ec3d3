"""This machine: processes, kernel locks, users, namespaces, durable files. Standard library only."""
