"""A local stand-in for a Slack workspace, in the browser; imports nothing of the bot."""
