"""Every card with every kind of text in it: Slack takes it, it mentions nobody it should not, and it can be read aloud."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Refused, Usage
from bot.model.alerts import AlertState, Severity
from bot.model.copies import Lag
from bot.model.ids import ClusterName
from bot.model.people import Person
from bot.model.requests import State
from bot.model.runs import Job, RunState
from bot.model.servers import ServerState
from bot.model.typed import shell_word
from bot.sandbox import limits
from bot.sandbox.posting import content_of
from bot.sandbox.view_rules import require_view
from bot.slack import forms
from bot.slack.blocks import Message
from bot.slack.cards import alert_card, call_card, request_card, run_card, run_progress, wake_card
from bot.slack.cards.help import error_message, help_card
from bot.slack.cards.result import psql_line, server_lines
from bot.slack.cards.server import server_card
from bot.slack.cards.status import ClusterStatus, list_card, status_card, verdict
from bot.slack.text import code, cut_marked, escape, mention, mention_approver, named
from tests.sweeps import examples
from tests.unit.card_rows import EVIL, Rows
from tests.unit.desk_world import NOON

rows = st.integers(0, 10**9).map(Rows)
texts = st.lists(st.sampled_from(EVIL) | st.text(max_size=8), max_size=8).map("".join)

_OURS = re.compile(
    r"<!date\^-?\d+\^[^|<>]*\|[^<>]*>|<@U(?:ALICE|CAROL)>|<!subteam\^SDBAS>|<https://slack\.test/card\|Read the plan and decide>"
)
_FEW = examples(90)


def assert_fit(message: Message) -> None:
    """Slack takes the message as a post and as an edit, it is inert where it should be, and all of it can be read aloud."""
    content = content_of({"text": message.text, "blocks": message.blocks}, most=limits.UPDATE_TEXT, cut=False)
    assert message.text.strip()
    for text in [content["text"], *_mrkdwn(content["blocks"])]:
        assert_harmless(text)
    assert not message.inert.live
    assert content_of({"text": message.text, "blocks": message.inert.blocks})
    assert_spoken(message)


def assert_harmless(text: str) -> None:
    """No mention, link or markup but ours, no bare ampersand, no character that hides or reorders, no half-open code span."""
    rest = _OURS.sub("", text)
    assert not re.search(r"[<>]", rest)
    assert not re.search(r"&(?!amp;|lt;|gt;)", rest)
    hidden = [c for c in rest if unicodedata.category(c) in {"Cc", "Cf", "Cs"} and c not in "\n\u200b\u200d"]
    assert not hidden


def assert_spoken(message: Message) -> None:
    """Every line that is shown is in the text, in order, as far as the text reaches."""
    if len(message.text) > limits.UPDATE_TEXT - 200:
        return  # it was cut
    at = 0
    for text in _mrkdwn(message.blocks):
        if re.search(r"[█░]", text) or "… and more" in text:
            continue  # said in other words
        for line in text.split("\n"):
            found = message.text.find(line, at)
            assert found >= 0, line
            at = found


def _mrkdwn(blocks: list[dict[str, Any]]) -> Iterator[str]:
    for block in blocks:
        if block["type"] == "section":
            yield block["text"]["text"]
        elif block["type"] == "context":
            yield from (element["text"] for element in block["elements"])


@_FEW
@given(made=rows)
def test_requests_fit_in_every_state_and_place(made: Rows) -> None:
    """The card of a request is fit for the channel and for its requester; each button carries the request's id and nothing else."""
    view = made.view()
    for place in ("approvals", "dm:UALICE", "alerts", "results"):
        message = request_card(view, place=place)
        assert_fit(message)
        values = [e["value"] for b in message.blocks if b["type"] == "actions" for e in b["elements"]]
        assert set(values) <= {view.request.id}


@_FEW
@given(made=rows, state=st.sampled_from([State.PENDING, State.APPROVED]))
def test_calls_for_a_decision_fit(made: Rows, state: State) -> None:
    """The second call is fit for the thread and for a DM, with and without a link, and has nothing to press."""
    request = replace(made.request(), state=state)
    for place, link in (("thread:request:x", ""), ("dm:UCAROL", ""), ("dm:UCAROL", "https://slack.test/card")):
        message = wake_card(request, place=place, approvers=made.approvers(), link=link)
        assert_fit(message)
        assert not message.live


@_FEW
@given(made=rows, state=st.sampled_from(RunState), kept=st.sampled_from(ServerState))
def test_runs_and_servers_fit(made: Rows, state: RunState, kept: ServerState) -> None:
    """A run's card and its progress, and a server's card are fit in every state."""
    run = replace(made.run(), state=state)
    for render in (run_card, run_progress):
        assert_fit(render(run))
    assert_fit(server_card(replace(made.server(), state=kept)))


def test_the_executor_is_called_by_what_it_carries_out() -> None:
    """In a request's thread its run is a restore or a recovery like on the request's card; elsewhere it is a request."""
    run = replace(Rows(1).run(), job=Job.EXECUTE, state=RunState.SUCCEEDED, error=None, result=None)
    assert run_progress(run, "restore").text.startswith("✅ Restore of slips: done")
    assert run_card(run).text.startswith("✅ Request of slips: done")


@_FEW
@given(made=rows, state=st.sampled_from(AlertState), severity=st.sampled_from(Severity))
def test_alerts_and_calls_fit(made: Rows, state: AlertState, severity: Severity) -> None:
    """An alert's card and its calls are fit in every state; an ended one has nothing to press, an open page alone mentions."""
    alert = made.alert(state, severity)
    card, call = alert_card(alert, oncall="SDBAS"), call_card(replace(alert, episode=1, calls=2), "1:2", oncall="SDBAS")
    assert_fit(card)
    assert_fit(call)
    assert card.live == (state is not AlertState.RESOLVED)
    assert not call.live
    answered = call_card(replace(alert, calls=3), "1:2", oncall="SDBAS")
    assert_fit(answered)
    assert "answered" in answered.text
    wanted = state is AlertState.OPEN and severity is Severity.PAGE
    assert ("<!subteam^SDBAS>" in card.text, "<!subteam^SDBAS>" in call.text) == (wanted, wanted)


@_FEW
@given(made=rows, clusters=st.integers(0, 30))
def test_status_and_lists_fit(made: Rows, clusters: int) -> None:
    """What `/backup` answers is fit with no cluster, with one, and with more than fit in a message."""
    name, going = ClusterName("my_db-2"), made.some(made.run, 6)
    backups, heard = made.some(made.backup, 20), made.some(made.wal, 5)
    beside, waiting = made.some(made.server, 6), made.some(made.request, 3)
    failed = next(iter(going), None)
    behind = [Lag(made.text(), tuple(b.id for b in backups[:n]), made.number(), made.time()) for n in range(3)]
    away = {lag.repository: made.text() for lag in behind[:2]}
    status = ClusterStatus(
        name, backups, heard, going, failed, beside, waiting, shared_disk=True, lags=behind, away=away
    )
    assert_fit(status_card([status] * clusters, now=NOON))
    assert_fit(list_card(name, backups, heard, now=NOON))


@_FEW
@given(made=rows, cluster=st.sampled_from(["", "slips", "a" * 63]))
def test_forms_fit(made: Rows, cluster: str) -> None:
    """Every form is one that Slack opens, whatever it is filled in with, and whatever it has to refuse."""
    request, text, other = made.request(), made.text(), made.text()
    require_view(forms.loading("Point-in-time recovery"))
    require_view(forms.pitr_form(forms.PitrDraft(cluster, text, other), token="t" * 40, zone="Asia/Bangkok"))
    require_view(forms.reason_form(request, token="t"))
    require_view(forms.deny_form(request, token="t"))
    for error in (Usage(text or "x", hint=other), Refused(f"`{text}` is no good.", hint=f"See `{other}`.")):
        require_view(forms.refusal("Deny the recovery", error))
        assert_fit(error_message(error))
    assert len(forms.cluster_options([f"db-{n}" for n in range(150)], "")) <= limits.OPTIONS


def test_help_can_be_typed_as_it_is_shown() -> None:
    """The examples hold the cluster's name letter for letter, so that they can be copied."""
    for command in ("/backup", "/pitr"):
        message = help_card(command, ["my_db-2", "zz"])
        assert_fit(message)
        assert f"{command} " in message.text
        assert "my_db-2" in message.text
    assert "pitstop list my_db-2" in list_card(ClusterName("my_db-2"), [Rows(1).backup()] * 20, [], now=NOON).text


def test_a_dump_says_what_it_holds() -> None:
    """A dump's card has each database with its tables and rows, the part that was dumped, and what pg_dump warned of."""
    result = {
        "id": "20261124T023000Z-dump-7f3a", "part": "data-only", "bytes_read": 5_000_000, "bytes_stored": 1_000_000, "seconds": 2.0,
        "databases": [{"name": "Slips", "tables": 1, "rows": 1204551}], "warnings": ["circular <foreign> keys"],
    }  # fmt: skip
    run = replace(Rows(1).run(), job=Job.DUMP, state=RunState.SUCCEEDED, result=result, error=None)
    text = run_card(run).text
    assert "Dump of slips: done" in text
    assert "`Slips` (data only): 1 table, 1,204,551 rows" in text
    assert "circular &lt;foreign&gt; keys" in text
    assert "part only" not in text
    some = run_card(replace(run, result={**result, "part": "full", "partial": "chosen tables"})).text
    assert "*Of a part only* chosen tables" in some


def test_a_dump_alone_is_no_base_backup() -> None:
    """Where only dumps are kept, the status says that nothing leads back but to them, and asks for a base backup."""
    dump = replace(Rows(1).backup(), kind="dump", damaged=None)
    alone = status_card([ClusterStatus(ClusterName("slips"), [dump], [])], now=NOON).text
    assert "back to a dump only" in alone
    assert "No base backup yet" in alone
    assert "Last dump" in alone
    base = replace(Rows(2).backup(), kind="base", damaged=None)
    part = replace(dump, partial="schema-only")
    assert "cannot be restored" in status_card([ClusterStatus(ClusterName("slips"), [part], [])], now=NOON).text
    assert "dump (schema-only)" in list_card(ClusterName("slips"), [replace(part, kind="dump")], [], now=NOON).text
    both = status_card([ClusterStatus(ClusterName("slips"), [dump, base], [])], now=NOON).text
    assert "Last backup" in both
    assert "Last dump" in both
    assert "dump only" not in both


@given(text=texts, limit=st.integers(1, 400))
def test_escaped_text_is_shown_letter_for_letter(text: str, limit: int) -> None:
    """What was escaped or put into a code span is harmless, and without our marks it is the text that was visible."""
    escaped, span = escape(text, limit), code(text, limit)
    assert_harmless(escaped)
    assert_harmless(span)
    assert "\n" not in escaped + span
    assert span.count("`") == 2
    plain = escaped.replace("\u200b", "").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert len(plain) <= limit
    assert plain.removesuffix("…") in " ".join(text.split()) or any(unicodedata.category(c)[0] in "CZ" for c in text)


@given(text=texts.map(escape), limit=st.integers(1, 200))
def test_cutting_never_opens_what_was_closed(text: str, limit: int) -> None:
    """A cut text is a prefix that ends between characters, never inside an entity."""
    short = cut_marked(f"{text} <!date^1^{{date}}|x>", limit)
    assert len(short) <= limit
    assert not re.search(r"&[a-z]*…?$", short)
    assert short.count("<") == short.count(">")


@pytest.mark.parametrize("name", ["U", "u123", "U12 ", "U12\n", "U1<2", "@channel", "UALICE>", ""])
def test_only_ids_are_mentioned(name: str) -> None:
    """What is not exactly an id of Slack's is shown as text, never as a mention."""
    assert not mention(name).startswith("<")
    assert mention_approver(name) is None
    assert mention("UALICE") == "<@UALICE>"
    assert mention_approver("SDBAS") == "<!subteam^SDBAS>"
    assert mention_approver("everyone") is None
    assert named(Person("host", "UALICE")) == "UALICE"


@pytest.mark.parametrize(
    "dsn", ["host=/x port=5", "host=/a$(reboot)", 'host="a"', "host=/a`b`", "host='/a b'", "a\\b", "x!y"]
)
def test_the_line_to_copy_is_safe_to_paste(dsn: str) -> None:
    """A shell reads the psql line as the one connection string it shows, whatever is in it."""
    assert shlex.split(f"psql {shell_word(dsn)}") == ["psql", dsn]
    assert shell_word(dsn)[0] == "'" or not set(dsn) & set("$`!\\")
    assert_harmless(psql_line(dsn))


def test_a_copy_says_where_it_is_and_how_a_table_comes_back() -> None:
    """The host and the user of the password file stand beside the line, and the line for a table quotes its name exactly."""
    made = Rows(7).server()
    dsn = "host=/run/copy user=pitstop_r1 dbname=shop"
    server = replace(made, state=ServerState.RUNNING, dsn=dsn, detail={"host": "vault-1", "user": "pitstop"})
    tables = [
        {"database": "other", "schema": "public", "table": "more", "rows": 9},
        {"database": "shop", "schema": "public", "table": 'Order "Lines"', "rows": 5},
    ]
    looks, back, _ = server_lines(server, {"tables": tables})
    assert "on `vault-1` as `pitstop`:" in looks
    line = back.partition("```")[2].rstrip("`")
    assert shlex.split(line)[:4] == ["pg_dump", dsn, "-t", '"public"."Order ""Lines"""']
    assert '"SCHEMA"."TABLE"' in server_lines(server, {"seconds": 1})[1]


def test_a_server_that_is_away_is_not_called_recoverable_to_its_last_commit() -> None:
    """Since when the server does not answer stands in the verdict, though the receiver itself reports every second."""
    made = Rows(3)
    sound = replace(made.backup(), kind="full", damaged=None)
    heard = replace(made.wal(), at=NOON, away_since=NOON)
    status = ClusterStatus(ClusterName("slips"), [sound], [heard])
    assert "server unreachable since" in verdict(status, NOON)
    assert "unreachable" not in verdict(replace(status, wal=[replace(heard, away_since=None)]), NOON)


def test_a_repository_that_is_away_is_not_said_to_hold_every_backup() -> None:
    """The status says which is away and why; where each that holds backups is, nothing is called recoverable."""
    backup = replace(Rows(1).backup(), kind="base", damaged=None)
    away = {"offsite": "its folder /mnt/offsite is not there"}
    lags = [Lag(name, (), 0, None) for name in ("local", "offsite")]
    status = ClusterStatus(ClusterName("slips"), [backup], [], lags=lags, away=away)
    text = status_card([status], now=NOON).text
    assert "`offsite` is away: its folder /mnt/offsite is not there; what it holds is as it was last seen" in text
    assert "Every backup was in `offsite` when it was last seen" in text
    assert "Every backup is in `local`" in text
    assert verdict(status, NOON).startswith("⚠️ back to a backup only")
    assert "every repository that holds its backups is away" in verdict(replace(status, all_away=True), NOON)
