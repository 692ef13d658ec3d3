"""Talking to Slack: cards rendered from the ledger, people and groups, and the one sender."""
