"""`/restore`: typed or as a form, whose pickers are fed from the ledger; the same verb of the desk as the command line's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from slack_bolt import App

from bot import desk
from bot.errors import Usage
from bot.ledger import catalogue, contents, inbox, old_backups, requests
from bot.model.again import again
from bot.model.backups import BackupSummary
from bot.model.commands import ShowHelp, bounded, known_cluster
from bot.model.contents import Contents, TableContents
from bot.model.dumps import Part, require_known
from bot.model.ids import ClusterName, RequestId
from bot.model.requests import Request
from bot.model.restore_commands import (
    IN_PLACE,
    AskRestore,
    in_place,
    parse_restore,
    read_backup,
    read_destination,
    require_whole,
    wants_restore_form,
)
from bot.model.restores import LATEST, VERIFIED, Wanted
from bot.model.typed import plain
from bot.slack import forms, restore_form
from bot.slack.blocks import Message
from bot.slack.cards import actions
from bot.slack.hints import in_slack
from bot.slack.restore_form import RestoreDraft
from bot.slack.text import code, escape
from handlers.answers import answer
from handlers.edge import edged, errand
from handlers.facts import caller_on, card_shows, note
from handlers.modals import AtInput, admit, open_again_form, open_form, plainly, record_form, token_for
from handlers.payloads import Body, Doer, delivery_key, from_command, from_interaction, typed
from handlers.recording import NotRecorded
from handlers.replies import reply, reply_error
from handlers.wiring import Wiring

RESTORE_TYPED = "restore.typed"
_TITLE = "Restore a backup"


def register(app: App, wiring: Wiring) -> None:
    """Listen to `/restore`, to its form and to the form's pickers."""
    app.command("/restore")(edged(wiring, lambda ack, body: _on_command(wiring, ack, body)))
    app.view(actions.RESTORE_FORM)(edged(wiring, lambda ack, body: _on_form(wiring, ack, body)))
    for action, answered in _OPTIONS.items():
        app.options(action)(edged(wiring, _listener(wiring, answered)))


def _listener(wiring: Wiring, answered: Any) -> Any:
    def on_options(ack: Any, body: Body) -> None:
        """Answer a picker from the ledger; options must ride in the acknowledgement."""
        ack(options=answered(wiring, body, str(body.get("value") or "")))

    return on_options


def open_restore_form(wiring: Wiring, doer: Doer, trigger: str, draft: RestoreDraft) -> None:
    """Open the form for a new restore."""
    open_form(wiring, doer, trigger, _TITLE, lambda: _view(wiring, doer, draft))


def open_again(wiring: Wiring, doer: Doer, trigger: str, request_id: str) -> None:
    """Open the form of an earlier request's own kind, filled in like it."""
    with wiring.ledger.read() as tx:
        request = requests.get(tx, RequestId(request_id))
    if not isinstance(request.target, Wanted) or again(request) is None:
        open_again_form(wiring, doer, trigger, request_id)
        return

    def fill() -> forms.View:
        card_shows(wiring, doer, request_id)
        return _view(wiring, doer, _draft(request))

    open_form(wiring, doer, trigger, _TITLE, fill)


def _draft(request: Request) -> RestoreDraft:
    wanted, where = request.target, request.destination
    assert isinstance(wanted, Wanted)
    into = {"database": where.get("database"), "beside": where.get("directory")}.get(where["kind"])
    if where["kind"] == "schema":
        into = f"{where['database']}.{where['schema']}"
    return RestoreDraft(
        request.cluster,
        wanted.backup,
        wanted.database or "",
        wanted.part,
        wanted.tables,
        into or "",
        request.reason,
        in_place=where["kind"] == IN_PLACE,
    )


def _view(wiring: Wiring, doer: Doer, draft: RestoreDraft) -> forms.View:
    only, _ = admit(wiring, doer, draft.cluster)
    return restore_form.restore_form(replace(draft, cluster=only), token=token_for(wiring, doer.who, "ask", None))


def _on_command(wiring: Wiring, ack: Any, body: Body) -> None:
    """Open the form at once; record anything else, which the inbox worker reads and answers."""
    text, doer = typed(body), from_command(body)
    if wants_restore_form(text, clusters=wiring.config.clusters):
        ack()
        open_restore_form(wiring, doer, str(body.get("trigger_id")), RestoreDraft(cluster=plain(text).lower()))
        return
    if plain(text[:20]).lower() == "help":
        ack()
        errand(wiring, doer, lambda: reply(wiring.client, doer, answer(wiring, ShowHelp("/restore"))))
        return
    try:
        bounded(text, "/restore")
        wiring.recorder.put(delivery_key(body), RESTORE_TYPED, {**doer.as_json(), "text": text})
    except Usage as error:
        ack()
        errand(wiring, doer, lambda refused=error: _refuse(wiring, doer, text, refused))  # type: ignore[misc]
    except NotRecorded as error:
        ack(text=error.message)
    else:
        ack()


def _refuse(wiring: Wiring, doer: Doer, text: str, error: Usage) -> None:
    note(wiring, doer, "restore", text, error)
    reply_error(wiring.client, doer, error)


# -- the form ----------------------------------------------------------------------------------------------------------


def _on_form(wiring: Wiring, ack: Any, body: Body) -> None:
    """Read the form; what cannot be is said at its input, before the form closes."""
    doer, view = from_interaction(body), body.get("view") or {}
    state = view.get("state") or {}
    try:
        asked = _read(wiring, forms.filled_in(state), restore_form.chosen(state, restore_form.TABLES))
    except AtInput as refused:
        block, error = refused.block, refused.error
        ack(response_action="errors", errors={block: plainly(f"{error.message} {in_slack(error.hint)}".strip())[:2000]})
        errand(wiring, doer, lambda: note(wiring, doer, "restore", error.message, error))
        return
    payload = {
        **doer.as_json(),
        "cluster": asked.cluster,
        "wanted": asked.wanted.as_json(),
        "destination": asked.destination,
        "reason": asked.reason,
        "token": str(view.get("private_metadata", "")),
    }
    record_form(wiring, ack, body, actions.RESTORE_FORM, payload, block=restore_form.INTO)


def _read(wiring: Wiring, given: dict[str, str], tables: tuple[str, ...]) -> AskRestore:
    cluster = _at(forms.CLUSTER, lambda: known_cluster(given.get(forms.CLUSTER, ""), wiring.config.clusters))
    backup = _at(restore_form.BACKUP, lambda: read_backup(given.get(restore_form.BACKUP, "")))
    database = given.get(restore_form.DATABASE, "") or None
    part = Part(given.get(restore_form.PART) or Part.FULL)
    destination = _destination(given, part, tables)
    known = _contents(wiring, cluster, backup)
    if known is not None and database is not None and known.database(database) is None:
        names = ", ".join(one.name for one in known.databases[:20])
        error = Usage(f"{database} is not in that backup.", hint=f"It holds {names}.", code="unknown-database")
        raise AtInput(restore_form.DATABASE, error)
    if known is not None and known.part and tables and not known.omitted:
        inside = _tables_of(known, database)
        _at(restore_form.TABLES, lambda: require_known(tables, inside, database or "the backup"))
    return AskRestore(cluster, Wanted(backup, database, part, tables), destination, given.get(forms.REASON, "").strip())


def _destination(given: dict[str, str], part: Part, tables: tuple[str, ...]) -> dict[str, Any]:
    """Read where to: in place of what is there, which takes a whole database and no name, or beside it."""
    into = given.get(restore_form.INTO, "").strip()
    if given.get(restore_form.WHERE) != IN_PLACE:
        beside: dict[str, Any] = _at(restore_form.INTO, lambda: _beside(into))
        return beside
    if into:
        error = Usage("In place needs no name.", hint="Empty this, or choose Beside.", code="two-destinations")
        raise AtInput(restore_form.INTO, error)
    _at(restore_form.TABLES if tables else restore_form.PART, lambda: require_whole(part, tables=bool(tables)))
    return in_place()


def _beside(into: str) -> dict[str, Any]:
    if not into:
        raise Usage("Where to?", hint="Write a new name, for example slips_monday.", code="no-destination")
    return read_destination(into)


def _at(block: str, read: Any) -> Any:
    try:
        return read()
    except Usage as error:
        raise AtInput(block, error) from None


def _tables_of(known: Contents, database: str | None) -> list[TableContents]:
    return [table for one in known.databases if database in {None, one.name} for table in one.tables]


def _backups(wiring: Wiring, clusters: Iterable[str]) -> list[BackupSummary]:
    with wiring.ledger.read() as tx:
        found = [one for name in clusters for one in catalogue.list(tx, ClusterName(name))]
    return sorted(found, key=lambda one: one.id, reverse=True)


def _contents(wiring: Wiring, cluster: ClusterName, backup: str) -> Contents | None:
    """Return what is in the backup that is meant, or None where the ledger does not know."""
    meant = backup
    if backup in {LATEST, VERIFIED}:
        dumps = [
            one
            for one in _backups(wiring, [cluster])
            if one.kind == "dump" and not one.damaged and not one.partial and (backup == LATEST or one.verified_at)
        ]
        if not dumps:
            return None
        meant = dumps[0].id
    with wiring.ledger.read() as tx:
        found = catalogue.locate(tx, meant)  # type: ignore[arg-type]
        return contents.find(tx, cluster, found.id) if found else None


def _filled(wiring: Wiring, body: Body) -> tuple[list[str], str, str]:
    """Return what is filled in already where Slack says so: the clusters that may be meant, the backup and the database."""
    given = forms.filled_in((body.get("view") or {}).get("state") or {})
    cluster = given.get(forms.CLUSTER, "")
    clusters = [cluster] if cluster in wiring.config.clusters else list(wiring.config.clusters)
    return clusters, given.get(restore_form.BACKUP, "") or LATEST, given.get(restore_form.DATABASE, "")


def _known(wiring: Wiring, body: Body) -> tuple[list[Contents], str]:
    clusters, backup, database = _filled(wiring, body)
    found = [_contents(wiring, ClusterName(cluster), backup) for cluster in clusters]
    return [one for one in found if one is not None], database


def _backup_options(wiring: Wiring, body: Body, sought: str) -> list[dict[str, Any]]:
    clusters, _, _ = _filled(wiring, body)
    with wiring.ledger.read() as tx:
        old = [one for name in clusters for one in old_backups.list(tx, ClusterName(name))]
    return restore_form.backup_options(_backups(wiring, clusters), sought, now=wiring.now(), old=old)


def _database_options(wiring: Wiring, body: Body, sought: str) -> list[dict[str, Any]]:
    return restore_form.database_options(_known(wiring, body)[0], sought)


def _table_options(wiring: Wiring, body: Body, sought: str) -> list[dict[str, Any]]:
    known, database = _known(wiring, body)
    inside = [table for one in known for table in _tables_of(one, database or None)]
    return restore_form.table_options(inside, sought)


_OPTIONS = {
    actions.BACKUP_OPTIONS: _backup_options,
    actions.DATABASE_OPTIONS: _database_options,
    actions.TABLE_OPTIONS: _table_options,
}


# -- from the inbox to the desk ----------------------------------------------------------------------------------------


def _typed(wiring: Wiring, item: inbox.Item, doer: Doer) -> Message:
    text = str(item.payload["text"])
    try:
        asked = parse_restore(text, clusters=wiring.config.clusters)
        if not isinstance(asked, AskRestore):
            raise Usage("There is nothing to restore in that.", hint="See `/restore help`.", code="bad-restore")
    except Usage as error:
        note(wiring, doer, "restore", text, error)
        raise
    return _ask(wiring, item, doer, asked)


def _form(wiring: Wiring, item: inbox.Item, doer: Doer) -> Message:
    given = item.payload
    wanted, cluster = Wanted.from_json(given["wanted"]), ClusterName(given["cluster"])
    asked = AskRestore(cluster, wanted, dict(given["destination"]), str(given["reason"]))
    return _ask(wiring, item, doer, asked)


def _ask(wiring: Wiring, item: inbox.Item, doer: Doer, asked: AskRestore) -> Message:
    request = desk.ask(
        wiring.ledger,
        caller_on(wiring, item, doer, asked.cluster),
        verb="restore",
        cluster=asked.cluster,
        target=asked.wanted,
        target_text=asked.wanted.text(),
        destination=asked.destination,
        reason=asked.reason,
        asked_in=doer.channel or None,
    )
    return Message(
        f"Making a plan for {code(asked.cluster, 80)}: {escape(asked.wanted.text(), 200)}. "
        f"It comes to you as a direct message in a moment (request `{request.id}`)."
    )


VERBS = {RESTORE_TYPED: _typed, actions.RESTORE_FORM: _form}
