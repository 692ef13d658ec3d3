"""How many examples a property test tries: a sample each time, always another one, and with `--full` the whole sweep."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

SAMPLE, SWEEP = "sample", "sweep"
_SHARE = 6

# Machines are shared and slow at times: no test fails by the clock.
settings.register_profile(SAMPLE, deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=25)
settings.register_profile(SWEEP, deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=250)


def examples(full: int) -> settings:
    """Return settings for `full` examples in a sweep, and a sixth of them in a sample."""
    sweeping = settings.get_current_profile_name() == SWEEP
    return settings(max_examples=full if sweeping else max(10, full // _SHARE), deadline=None)
