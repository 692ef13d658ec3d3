"""The monitor: every minute it looks at servers, disks and the ledger, judges, and raises or ends alerts.

It runs in a thread of the leader, not as a run of its own, and asks nothing that may take longer than its time-outs.
"""

from jobs.monitor.round import Monitor

__all__ = ["Monitor"]
