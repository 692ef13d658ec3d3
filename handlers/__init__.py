"""What people do in Slack: parse, gather facts, call one desk verb."""
