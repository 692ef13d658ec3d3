"""Pure decisions: values in, new frozen values out. No clock, no randomness, no logging, no I/O; standard library only."""
