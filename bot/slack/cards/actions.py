"""The words of buttons and modals: what a card offers and the handlers listen to."""

from __future__ import annotations

from bot.model.ids import AlertId, RequestId
from bot.slack.blocks import Button

CONFIRM = "request.confirm"
REASON = "request.reason"
CANCEL = "request.cancel"
APPROVE = "request.approve"
APPROVE_TYPED = "request.approve.typed"
DENY = "request.deny"
ASK_AGAIN = "request.again"
EXTEND = "server.extend"
STOP = "server.stop"
REMOVE = "server.remove"
KEPT_EXTEND = "kept.extend"
KEPT_REMOVE = "kept.remove"
UNDO = "kept.undo"
ACKNOWLEDGE = "alert.acknowledge"
SNOOZE_1H = "alert.snooze.1h"
SNOOZE_24H = "alert.snooze.24h"
RESOLVE = "alert.resolve"
RESUME = "schedule.resume"
NOTE_REHEARSAL = "rehearsal.note"
HOME_BACKUP = "home.backup"
HOME_RECOVER = "home.recover"
HOME_RESTORE = "home.restore"
OPEN_CARD = "home.card"

DECISIONS = (
    CONFIRM,
    CANCEL,
    APPROVE,
    EXTEND,
    STOP,
    REMOVE,
    ACKNOWLEDGE,
    SNOOZE_1H,
    SNOOZE_24H,
    RESOLVE,
    KEPT_EXTEND,
    KEPT_REMOVE,
    UNDO,
    RESUME,
)
"""Clicks that are recorded as they are; the others open a form first."""

PITR_FORM = "pitr.form"
REASON_FORM = "request.reason.form"
DENY_FORM = "request.deny.form"
APPROVE_FORM = "request.approve.form"
REHEARSAL_FORM = "rehearsal.form"
RESTORE_FORM = "restore.form"
CLUSTER_OPTIONS = "pitr.cluster"
BACKUP_OPTIONS = "restore.backup"
DATABASE_OPTIONS = "restore.database"
TABLE_OPTIONS = "restore.tables"


def confirm_with_reason(request: RequestId) -> Button:
    """Send the plan with the reason it has."""
    return Button("Send for approval", CONFIRM, request, "primary")


def give_reason(request: RequestId, *, first: bool) -> Button:
    """Open the form for the reason."""
    label = "Give a reason and send" if first else "Change the reason"
    return Button(label, REASON, request, "primary" if first else None)


def cancel(request: RequestId, *, running: bool = False) -> Button:
    """Cancel; what runs already asks once more."""
    sure = ("Stop the recovery?", "It ends where it is. The live cluster is not touched.") if running else None
    return Button("Cancel", CANCEL, request, None, sure)


def approve(request: RequestId) -> Button:
    """Say yes."""
    return Button("Approve", APPROVE, request, "primary")


def approve_typed(request: RequestId) -> Button:
    """Say yes to something that replaces a live database; opens the form in which the cluster's name is typed."""
    return Button("Approve …", APPROVE_TYPED, request, "primary")


def deny(request: RequestId) -> Button:
    """Say no; opens the form for the reason."""
    return Button("Deny", DENY, request, "danger")


def ask_again(request: RequestId) -> Button:
    """Open the form filled in like this request."""
    return Button("Ask again", ASK_AGAIN, request)


def extend(request: RequestId) -> Button:
    """Let the server live longer."""
    return Button("Keep 24 h longer", EXTEND, request)


def stop(request: RequestId) -> Button:
    """Stop the server and keep its data."""
    return Button("Stop", STOP, request, None, ("Stop this server?", "Its connections end; its data stays on disk."))


def remove(request: RequestId) -> Button:
    """Stop the server and delete its data."""
    return Button(
        "Remove",
        REMOVE,
        request,
        "danger",
        ("Remove this server?", "It is stopped and its copy of the data is deleted."),
    )


def acknowledge_alert(alert: AlertId) -> Button:
    """Say that one has it."""
    return Button("Acknowledge", ACKNOWLEDGE, alert, "primary")


def snooze_alert(alert: AlertId) -> tuple[Button, Button]:
    """Let it rest for an hour or a day."""
    return Button("Snooze 1 h", SNOOZE_1H, alert), Button("Snooze 24 h", SNOOZE_24H, alert)


def resolve_alert(alert: AlertId) -> Button:
    """Say that something of the past is settled."""
    return Button("Settled", RESOLVE, alert)


def keep_longer(request: RequestId) -> Button:
    """Keep a replaced database longer."""
    return Button("Keep 7 d longer", KEPT_EXTEND, request)


def undo(request: RequestId) -> Button:
    """Ask for the database back that a restore in place replaced."""
    return Button(
        "Undo",
        UNDO,
        request,
        None,
        ("Ask for the old database back?", "A plan comes to you as a direct message; another person approves it."),
    )


def remove_kept(request: RequestId) -> Button:
    """Drop a replaced database."""
    return Button(
        "Remove now",
        KEPT_REMOVE,
        request,
        "danger",
        ("Remove the kept database?", "It is dropped. Undo is not possible any more; only a backup leads back to it."),
    )


def resume(pause: str) -> Button:
    """Let the schedule go on before the pause is over."""
    return Button("Resume now", RESUME, pause)


def note_rehearsal(run: str) -> Button:
    """Write down what a rehearsal showed; opens the form for it."""
    return Button("Write notes", NOTE_REHEARSAL, run, "primary")
