"""`pitstop` and `python -m bot`: what PostgreSQL calls for each segment is dispatched before anything slow is imported."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import NoReturn

_FETCH_FAILED = 255
_OBJECTS_BETWEEN_LOOKS = 50_000


def main() -> None:
    """Run the command line and exit with its code."""
    if sys.argv[1:2] == ["wal"] and sys.argv[2:3] in (["push"], ["fetch"]):
        sys.exit(_for_the_server(sys.argv[2], sys.argv[2:]))
    # Nobody's plugins belong into the configuration; looking for some reads what is installed.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    if sys.argv[1:2] == ["job"] and sys.argv[3:4] == ["--config"] and len(sys.argv) == 5:
        _execute(sys.argv[2], Path(sys.argv[4]))
    # Little of what is imported is ever garbage: it is looked through less often, and not once more at the end.
    gc.set_threshold(_OBJECTS_BETWEEN_LOOKS, 20, 20)
    from bot.cli import run

    code = run(sys.argv[1:])
    gc.freeze()
    sys.exit(code)


def _execute(run_id: str, config: Path) -> NoReturn:
    """Execute a run the way the bot starts one, past the command line's parser, and end.

    Each backup pays for its start and its end: nothing of what is imported is ever garbage, and at the end nothing is taken
    apart. The run is recorded by then, and what could still be running in a thread has nothing to say any more.
    """
    gc.disable()
    try:
        from bot.log import to_stderr

        to_stderr()
        from bot.job import main as execute

        code = execute(run_id, config)
    except Exception as error:  # noqa: BLE001 - the edge of a job that could not begin
        from bot.cli import told

        code = told(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _for_the_server(verb: str, arguments: list[str]) -> int:
    """Run `wal push` or `wal fetch`, which import the standard library alone.

    To a recovering server every exit code of `fetch` below 126 means "this segment does not exist", which ends recovery
    silently: so whatever goes wrong here, an import or an interrupt included, is 255, unless absence was proved.
    """
    try:
        from bot.wal import main as wal

        return wal(arguments)
    except BaseException as error:  # noqa: BLE001 - the edge: nothing may reach the server as another code
        if isinstance(error, SystemExit) and isinstance(error.code, int) and verb == "push":
            return error.code
        print(f"pitstop wal {verb}: {type(error).__name__}: {error}", file=sys.stderr)
        return _FETCH_FAILED if verb == "fetch" else 1


if __name__ == "__main__":
    main()
