"""Where decisions are made: one verb, one transaction, for Slack and the command line alike.

Every verb authorizes inside its transaction from facts in the ledger, changes the row by version, appends to the audit and
marks the cards out of date. A verb that takes a `key` may be called twice with it: the second call answers like the first
and changes nothing. A refused attempt is audited and raises.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bot.desk.alerting import acknowledge_alert, noticed, observe, resolve_alert, sampled, snooze_alert
    from bot.desk.asking import ask, confirm, propose, refuse
    from bot.desk.attempts import note_attempt
    from bot.desk.backing_up import back_up, pin, verify
    from bot.desk.claiming import Refresh, claim, to_refresh
    from bot.desk.deciding import approve, cancel, deny
    from bot.desk.executing import fail, interrupt, resume, succeed, verifying, void
    from bot.desk.keeping import (
        extend_kept,
        journal_swap,
        keep_database,
        kept_back,
        kept_removed,
        remove_kept,
        swap_taken_back,
        sweep_kept,
    )
    from bot.desk.key_keeping import begin_rotation, note_rotation
    from bot.desk.locking import claim_deletion, hold, release
    from bot.desk.pausing import pause, resume_schedule
    from bot.desk.publishing import attach
    from bot.desk.rehearsing import note_rehearsal
    from bot.desk.runs import cancel_run, fail_run, finish_run, interrupt_run, progress, queue_run, start_run
    from bot.desk.servers import (
        clear_away,
        extend_server,
        register_server,
        remove_server,
        server_removed,
        server_stopped,
        stop_server,
        sweep_servers,
    )
    from bot.desk.sweeping import forget, sweep, wake_due

__all__ = [
    "ask",
    "propose",
    "refuse",
    "confirm",
    "approve",
    "deny",
    "cancel",
    "claim",
    "to_refresh",
    "Refresh",
    "verifying",
    "succeed",
    "fail",
    "interrupt",
    "resume",
    "void",
    "sweep",
    "wake_due",
    "forget",
    "back_up",
    "verify",
    "attach",
    "note_rehearsal",
    "begin_rotation",
    "note_rotation",
    "pause",
    "resume_schedule",
    "queue_run",
    "start_run",
    "progress",
    "finish_run",
    "fail_run",
    "interrupt_run",
    "cancel_run",
    "hold",
    "release",
    "claim_deletion",
    "pin",
    "register_server",
    "clear_away",
    "extend_server",
    "stop_server",
    "remove_server",
    "server_stopped",
    "server_removed",
    "sweep_servers",
    "journal_swap",
    "keep_database",
    "kept_back",
    "swap_taken_back",
    "kept_removed",
    "extend_kept",
    "remove_kept",
    "sweep_kept",
    "note_attempt",
    "observe",
    "acknowledge_alert",
    "snooze_alert",
    "resolve_alert",
    "noticed",
    "sampled",
]

_VERBS = {
    "alerting": (
        "acknowledge_alert",
        "noticed",
        "observe",
        "resolve_alert",
        "sampled",
        "snooze_alert",
    ),
    "asking": (
        "ask",
        "confirm",
        "propose",
        "refuse",
    ),
    "attempts": ("note_attempt",),
    "backing_up": (
        "back_up",
        "pin",
        "verify",
    ),
    "claiming": (
        "Refresh",
        "claim",
        "to_refresh",
    ),
    "deciding": (
        "approve",
        "cancel",
        "deny",
    ),
    "executing": (
        "fail",
        "interrupt",
        "resume",
        "succeed",
        "verifying",
        "void",
    ),
    "keeping": (
        "extend_kept",
        "journal_swap",
        "keep_database",
        "kept_back",
        "kept_removed",
        "remove_kept",
        "swap_taken_back",
        "sweep_kept",
    ),
    "key_keeping": (
        "begin_rotation",
        "note_rotation",
    ),
    "locking": (
        "claim_deletion",
        "hold",
        "release",
    ),
    "pausing": (
        "pause",
        "resume_schedule",
    ),
    "publishing": ("attach",),
    "rehearsing": ("note_rehearsal",),
    "runs": (
        "cancel_run",
        "fail_run",
        "finish_run",
        "interrupt_run",
        "progress",
        "queue_run",
        "start_run",
    ),
    "servers": (
        "clear_away",
        "extend_server",
        "register_server",
        "remove_server",
        "server_removed",
        "server_stopped",
        "stop_server",
        "sweep_servers",
    ),
    "sweeping": (
        "forget",
        "sweep",
        "wake_due",
    ),
}
_HOMES = {verb: module for module, verbs in _VERBS.items() for verb in verbs}


def __getattr__(name: str) -> Any:
    """Import a verb when it is first used: most commands and jobs use few, and all together take long to import."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    verb = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return verb
