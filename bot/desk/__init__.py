"""Where decisions are made: one verb, one transaction, for Slack and the command line alike."""
