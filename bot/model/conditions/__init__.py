"""What the monitor asks of what it sees: values in, concerns out, one file per noun. Pure; docs/alerts.md tells each condition."""
