"""What wraps the data keys: a key file today, other key services beside it."""
