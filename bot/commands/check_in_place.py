"""What `pitstop check` says about restores in place: the programs around them, the page, the logs, and where jobs live."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.commands.check import Point
    from bot.config import ClusterConfig


def in_place_points(name: str, cluster: ClusterConfig) -> Iterator[Point]:
    """Look at what the configuration names; nothing is run, and no page is asked. The rights are the server's to say."""
    from bot.commands.check import Point
    from bot.host.residence import jobs_outlive_us

    about = f"cluster {name}"
    yield from _programs(name, cluster)
    if cluster.health.url is not None:
        yield Point(
            about, "ok", "health", f"After a restore in place {cluster.health.url} is asked whether all is well."
        )
    for key, log in (("server_log", cluster.server_log), ("app_log", cluster.app_log)):
        if log is not None and not os.access(log, os.R_OK):
            sentence = f"{log} ({key}) cannot be read: its last words will be missing from the report of a restore."
            yield Point(
                about,
                "warn",
                "log-unreadable",
                sentence,
                f"Does it exist? Let Pitstop's account read it, or unset {key}.",
            )
    if not jobs_outlive_us():
        sentence = "Pitstop is this container's main process, and jobs end with it: restores in place are refused."
        yield Point(
            about, "warn", "container", sentence, "Run it under systemd (docs/pitstop.service) for restores in place."
        )


def _programs(name: str, cluster: ClusterConfig) -> Iterator[Point]:
    from bot.commands.check import Point
    from bot.host.hooks import cannot_run

    about, hooks, wrong = f"cluster {name}", cluster.hooks, False
    for when, commands in (("before", hooks.before), ("after", hooks.after)):
        for command in commands:
            if trouble := cannot_run(command):
                wrong = True
                fix = f"Install it or chmod it, or change [clusters.{name}.hooks] {when}."
                yield Point(about, "fail", "hook", f"The command {when} a restore in place cannot run: {trouble}.", fix)
    if not wrong and (hooks.before or hooks.after):
        told = (
            f"What runs around a restore in place is there: {len(hooks.before)} before it, {len(hooks.after)} after it."
        )
        yield Point(about, "ok", "hooks", told)
    if bool(hooks.before) != bool(hooks.after):
        there, lacking = ("before", "after") if hooks.before else ("after", "before")
        sentence = (
            f"There are commands {there} a restore in place and none {lacking}: is the application started and stopped?"
        )
        yield Point(about, "warn", "hooks-one-sided", sentence, f'[clusters.{name}.hooks] {lacking} = [["/usr/bin/…"]]')
