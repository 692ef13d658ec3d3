"""How this process keeps memory that it no longer uses."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3
LARGE_BYTES = 2 * 1024 * 1024


def return_large_blocks() -> None:
    """Let blocks of 2 MiB and more go back to the system when they are freed, instead of to the threads' own heaps.

    glibc raises that limit by itself with the first such block that is freed, and then every thread's heap keeps a few of
    them: a third of a backup's memory. Another C library is left as it is.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
