"""How this process keeps memory that it no longer uses."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_MIB = 1024 * 1024


def reuse_large_blocks() -> None:
    """Let blocks of some megabytes be used again by whichever thread needs one next, instead of fresh ones from the system.

    A job compresses or restores piece after piece. As glibc comes, each of them is new memory, which the kernel clears and
    maps page by page: a tenth of a backup's CPU. And every thread has a heap of its own, each keeping a few such blocks: a
    third of a backup's memory. One heap for all threads, which keeps a few megabytes at its end, costs neither. Another C
    library is left as it is.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_ARENA_MAX, 1)
    mallopt(_M_MMAP_THRESHOLD, 4 * _MIB)
    mallopt(_M_TRIM_THRESHOLD, 8 * _MIB)
