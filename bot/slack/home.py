"""The Home tab as a control desk: what waits for this person, what runs, how safe each cluster is, and the way in. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bot.model import amounts
from bot.model.requests import Request
from bot.model.retention import KINDS
from bot.model.runs import Run, RunState
from bot.slack.blocks import Button
from bot.slack.cards import actions
from bot.slack.cards.drill import drill_failed
from bot.slack.cards.run import title
from bot.slack.cards.status import ClusterStatus, verdict
from bot.slack.forms import View
from bot.slack.text import cut_marked, escape, moment, named, size, span

_MAX_CLUSTERS, _MAX_REQUESTS, _MAX_RUNS = 10, 8, 8
_MAX_SECTION = 2900


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request that waits, and the address of its card (empty: not known)."""

    request: Request
    link: str


@dataclass(frozen=True, slots=True)
class HomeCluster:
    """A cluster: its status, its last drill, how long a restore may take, and whether this person may ask for something there."""

    status: ClusterStatus
    drill: Run | None
    rto: timedelta
    may_ask: bool


@dataclass(frozen=True, slots=True)
class HomeDesk:
    """What one person's desk shows: requests that wait for their decision, their own, what runs, and the clusters."""

    to_decide: Sequence[Waiting]
    own: Sequence[Waiting]
    running: Sequence[Run]
    clusters: Sequence[HomeCluster]
    alerts: Sequence[str] = ()


def home(desk: HomeDesk, *, now: datetime) -> View:
    """Render the desk. `now` is aware."""
    blocks: list[dict[str, Any]] = []
    if desk.to_decide:
        blocks += [_header("Waits for your decision"), *(_request(one, now) for one in desk.to_decide[:_MAX_REQUESTS])]
    if desk.own:
        blocks += [_header("Your requests"), *(_request(one, now) for one in desk.own[:_MAX_REQUESTS])]
    if desk.alerts:
        blocks += [_header("Needs somebody"), _section(*(f"• {escape(text, 300)}" for text in desk.alerts[:8]))]
    if desk.running:
        blocks += [_header("Under way"), _section(*(_run(run) for run in desk.running[:_MAX_RUNS]))]
    blocks.append(_header("Clusters"))
    for one in desk.clusters[:_MAX_CLUSTERS]:
        blocks += [_section(*_cluster(one, now)), *_doors(one), {"type": "divider"}]
    if len(desk.clusters) > _MAX_CLUSTERS:
        blocks.append(_small(f"and {len(desk.clusters) - _MAX_CLUSTERS} more: `/backup`"))
    return _view(*blocks, _small("`/backup help` · `/restore help` · `/pitr help`"))


def guest_home() -> View:
    """Return what guests and people of other workspaces see."""
    text = (
        "Pitstop keeps this team's PostgreSQL recoverable. Backups and restores are for full members of the workspace."
    )
    return _view(_section(text))


def _request(one: Waiting, now: datetime) -> dict[str, Any]:
    request = one.request
    left = span((request.expires_at - now).total_seconds()) if request.expires_at and request.expires_at > now else ""
    said = f"*{escape(request.cluster, 80)}* {escape(request.verb, 20)}, {escape(request.target_text, 120)}"
    section = _section(
        f"{said}: {request.state.value}{f', {left} left' if left else ''}",
        f"by {named(request.requester)}: {escape(request.reason, 200) or 'no reason yet'}",
    )
    if one.link:
        button = Button("Open its card", actions.OPEN_CARD, request.id).as_block()
        section["accessory"] = {**button, "url": one.link[:3000]}
    return section


def _run(run: Run) -> str:
    done = f", {size(run.bytes_done)}" if run.bytes_done else ""
    of = f" of {size(run.bytes_total)}" if run.bytes_done and run.bytes_total else ""
    return f"• {escape(title(run), 150)}{f' ({escape(run.phase, 60)}{done}{of})' if run.phase else ''}"


def _cluster(one: HomeCluster, now: datetime) -> list[str]:
    status = one.status
    lines = [f"*{escape(status.cluster, 80)}* {verdict(status, now)}"]
    if status.pause:
        lines.append(f"⏸️ paused until {moment(status.pause.until)}")
    sound = [backup for backup in status.backups if not backup.damaged and not backup.partial]
    if sound:
        newest = max(sound, key=lambda backup: backup.finished_at)
        age, kind = span((now - newest.finished_at).total_seconds()), KINDS.get(newest.kind, newest.kind)
        lines.append(f"The newest backup is a {escape(kind, 40)}, {age} old, {size(newest.bytes_stored)}")
    objectives = f"Objectives: lose at most {amounts.span(status.rpo)}, restore within {amounts.span(one.rto)}"
    return [*lines, _drill(one, now), objectives]


def _drill(one: HomeCluster, now: datetime) -> str:
    run = one.drill
    if run is None or run.finished_at is None:
        return "No drill yet: how long a restore takes was not measured"
    ago = span((now - run.finished_at).total_seconds())
    if run.state is not RunState.SUCCEEDED or drill_failed(run):
        return f"❌ Last drill failed, {ago} ago"
    proofs = [
        float(proof.get("seconds") or 0) for proof in (run.result or {}).get("proofs", []) if isinstance(proof, dict)
    ]
    return f"The last drill, {ago} ago, restored in {span(max(proofs, default=0.0))}"


def _doors(one: HomeCluster) -> list[dict[str, Any]]:
    if not one.may_ask:
        return []
    cluster = one.status.cluster
    sure = ("Back up now?", "A base backup begins at once.")
    buttons = (
        Button("Back up now", actions.HOME_BACKUP, cluster, None, sure),
        Button("Recover …", actions.HOME_RECOVER, cluster),
        Button("Restore …", actions.HOME_RESTORE, cluster),
    )
    return [{"type": "actions", "elements": [button.as_block() for button in buttons]}]


def _view(*blocks: dict[str, Any]) -> View:
    return {"type": "home", "blocks": list(blocks)}


def _header(text: str) -> dict[str, Any]:
    return {"type": "header", "text": {"type": "plain_text", "text": text, "emoji": False}}


def _section(*lines: str) -> dict[str, Any]:
    text = cut_marked("\n".join(line for line in lines if line), _MAX_SECTION)
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _small(text: str) -> dict[str, Any]:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": text, "verbatim": True}]}
