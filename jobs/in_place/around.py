"""What runs around a swap: the application stopped and started, asked whether it is well, and the last words of the logs."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.errors import Failed
from bot.host.health import wait_until_healthy
from bot.host.hooks import HookRun, run_hook
from bot.host.tails import tail_bytes
from bot.log import redact
from bot.model.hooks import Command
from bot.postgres.server_tail import server_log_tail
from jobs.in_place.work import SwapWork

TAIL_BYTES = 2000


class AroundFailed(Failed):
    """A command or the application said no; `told` is what they and the logs said, for the thread."""

    told: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return the error with the last words of the commands and the logs."""
        return {**super().as_json(), **getattr(self, "told", {})}


@dataclass
class Around:
    """The hooks of a swap as they ran, for the report: `said` is JSON, in order."""

    work: SwapWork
    said: list[dict[str, Any]] = field(default_factory=list)

    def stop(self, *, heed: bool = True) -> None:
        """Stop the application; with `heed` a run that is asked to stop stops here.

        Raises:
            AroundFailed: `hook-failed`: a command failed or hung; those before it have run.
        """
        for command in self.work.hooks.before:
            done = self._run("before", command, heed=heed)
            if not done.ok:
                raise AroundFailed(
                    f"The command before the swap, {shlex.join(command)}, failed. {done.trouble}",
                    hint=f"What it said last: {_last_line(done.output)}" if done.output else "It said nothing.",
                    code="hook-failed",
                )

    def start(self) -> list[dict[str, Any]]:
        """Start the application, every command of it, also after one that failed; return what is to be told as checks."""
        ran = [self._run("after", command, heed=False) for command in self.work.hooks.after]
        return [
            {"name": shlex.join(done.command), "ok": done.ok, "detail": done.trouble or f"{done.seconds:.1f} s"}
            for done in ran
        ]

    def ask(self) -> dict[str, Any] | None:
        """Ask the health page; return it as a check, or None where there is none."""
        hooks, context = self.work.hooks, self.work.context
        if hooks.health_url is None:
            return None
        context.note(f"Asking {hooks.health_url}")
        health = wait_until_healthy(hooks.health_url, limit_s=hooks.health_s, wait=context.wait_cancelled)
        context.note("")
        answer = f"HTTP {health.status}" if health.status is not None else "no answer"
        detail = f"{answer} after {health.seconds:.1f} s{f': {redact(health.said)[:200]}' if not health.ok else ''}"
        return {"name": "the application is well", "ok": health.ok, "detail": detail}

    def logs(self) -> list[dict[str, str]]:
        """Return the last words of the server's and the application's log: [{"name", "text"}]; redacted, or why there are none."""
        settings = self.work.settings
        found = list[dict[str, str]]()
        if settings.server_log is not None:
            found.append(_file("server", settings.server_log))
        elif (text := server_log_tail(self.work.dsn, TAIL_BYTES)) is not None:
            found.append({"name": "server", "text": redact(text)})
        if settings.app_log is not None:
            found.append(_file("application", settings.app_log))
        return found

    def _run(self, when: str, command: Command, *, heed: bool) -> HookRun:
        """Run one command; `heed` lets the run's cancellation end it."""
        work = self.work
        work.context.note(f"Running {shlex.join(command)}")
        done = run_hook(
            command,
            limit_s=work.hooks.limit_s,
            log=work.config.runs_directory / f"{work.context.run.id}.hooks.log",
            env=_environment(work),
            cancelled=work.context.cancelled if heed else lambda: False,
        )
        work.context.note("")
        self.said.append(
            {
                "when": when,
                "command": shlex.join(command),
                "ok": done.ok,
                "seconds": round(done.seconds, 3),
                "trouble": done.trouble,
                "output": redact(done.output),
            }
        )
        return done


def _environment(work: SwapWork) -> dict[str, str]:
    """Return what a hook sees: our environment without secrets of Slack or PostgreSQL, and which swap it runs for."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("SLACK_", "PG"))}
    told = {
        "PITSTOP_REQUEST": work.request.id,
        "PITSTOP_CLUSTER": work.request.cluster,
        "PITSTOP_DATABASE": work.place.database,
        "PITSTOP_VERB": work.request.verb,
    }
    return {**ours, **told}


def _file(name: str, path: Path) -> dict[str, str]:
    try:
        return {"name": name, "text": redact(tail_bytes(path, TAIL_BYTES))}
    except OSError as error:
        return {"name": name, "text": f"{path} cannot be read: {error.strerror or error}"}


def _last_line(text: str) -> str:
    lines: Sequence[str] = [line for line in text.splitlines() if line.strip()]
    return redact(lines[-1])[:300] if lines else ""
