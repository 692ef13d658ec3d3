"""Supervision of job processes, leadership, and the schedule that wakes them."""
