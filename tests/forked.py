"""A part of a test in a process of its own, which may give up rights or namespaces that the rest still needs."""

from __future__ import annotations

import os
import signal
import traceback
import warnings
from collections.abc import Callable

LIMIT_S = 240


def forked(body: Callable[[], str]) -> str:
    """Run `body` in a fork of this process, and return the text it returned; what it raised is raised here, as text.

    It begins with one thread, like every fork: it may use nothing that another thread of a test holds.
    """
    read, write = os.pipe()
    with warnings.catch_warnings():
        # From 3.12 on Python warns of forks beside threads; those here only wait for servers to end.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        said, code = "", 1
        try:
            os.close(read)
            signal.alarm(LIMIT_S)
            said, code = body(), 0
        except BaseException:
            said = traceback.format_exc()
        finally:
            os.write(write, said.encode()[-60_000:])
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    assert status == 0, said or f"the process ended with {status}"
    return said
