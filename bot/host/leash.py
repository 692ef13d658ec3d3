"""Become a program that dies with its parent: run by path with `python -I -S`, standard library only.

Arguments: the parent's pid, then the program and its arguments. The kernel sends SIGKILL when the *thread* that started
this process ends, however it ends; that is why the program survives no `kill -9` of a job.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Take the leash and execute the program; what fails ends with one line on stderr and exit code 71."""
    parent, argv = int(sys.argv[1]), [os.fsencode(word) for word in sys.argv[2:]]
    try:
        if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
        if os.getppid() != parent:
            os._exit(71)  # it died before the leash was on
        os.execv(argv[0], argv)  # noqa: S606 - that is what this is for
    except OSError as error:
        print(f"error: {os.fsdecode(argv[0])} cannot be started: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(71)


if __name__ == "__main__":
    main()
