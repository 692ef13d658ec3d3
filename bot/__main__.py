"""`pitstop` and `python -m bot`: what PostgreSQL calls for each segment is dispatched before anything slow is imported."""

from __future__ import annotations

import sys

_FETCH_FAILED = 255


def main() -> None:
    """Run the command line and exit with its code."""
    if sys.argv[1:2] == ["wal"] and sys.argv[2:3] in (["push"], ["fetch"]):
        sys.exit(_for_the_server(sys.argv[2], sys.argv[2:]))
    from bot.cli import run

    sys.exit(run(sys.argv[1:]))


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
