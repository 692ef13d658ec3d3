"""What runs in a process of its own: backups, WAL, planning and the executor. Jobs know the desk, never Slack."""
