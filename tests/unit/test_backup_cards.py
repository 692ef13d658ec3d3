"""The cards of backups, schedules and pauses with every kind of text in them: Slack takes them and nobody is mentioned."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.model.contents import Contents, DatabaseContents, TableContents
from bot.model.ids import ClusterName
from bot.model.pauses import Pause
from bot.model.runs import Job
from bot.model.timetable import Line
from bot.sandbox.view_rules import require_view
from bot.slack.cards.backup import BackupView, backup_card
from bot.slack.cards.schedule import ClusterSchedule, pause_card, schedule_card
from bot.slack.cards.status import ClusterStatus
from bot.slack.home import HomeCluster, HomeDesk, Waiting, guest_home, home
from tests.unit.card_rows import Rows
from tests.unit.desk_world import ALICE, CAROL, NOON
from tests.unit.test_cards import _FEW, assert_fit, assert_harmless, rows


def contents(made: Rows) -> Contents:
    """Return what is in a backup."""
    tables = [TableContents(made.text(), made.text(), made.maybe(made.number), made.text()) for _ in range(40)]
    databases = [
        DatabaseContents(made.text(), made.text(), tuple(tables[:n]), made.maybe(made.number)) for n in (40, 3, 0)
    ]
    return Contents("full", made.text(), made.text(), made.maybe(bool), tuple(databases), (made.text(), made.text()))


@_FEW
@given(made=rows, only=st.booleans(), known=st.booleans())
def test_backups_fit(made: Rows, only: bool, known: bool) -> None:
    """One backup is fit to be shown, whatever its databases and tables are called."""
    inside = contents(made)
    inside = replace(inside, databases=inside.databases[:1]) if only else inside
    assert_fit(backup_card(BackupView(made.backup(), (made.text(), "local"), inside if known else None), now=NOON))


@_FEW
@given(made=rows, ended=st.booleans())
def test_schedules_and_pauses_fit(made: Rows, ended: bool) -> None:
    """The timetable of many clusters, and the card of a pause before and after its end."""
    held = Pause("p1", ClusterName(made.text()), ALICE, made.text(), NOON, NOON + timedelta(hours=2))
    held = replace(held, ended_at=NOON, ended_by=CAROL) if ended else held
    lines = [Line(job, made.text(), NOON, made.maybe(made.run), job is Job.DUMP) for job in Job]
    one = ClusterSchedule(ClusterName(made.text()), made.text(), lines, made.maybe(lambda: held))
    assert_fit(schedule_card([one] * 30))
    assert_fit(schedule_card([one]))
    shown = pause_card(held)
    assert_fit(shown)
    assert shown.live is not ended


@_FEW
@given(made=rows, many=st.booleans())
def test_homes_fit(made: Rows, many: bool) -> None:
    """A desk with everything on it, and with far more than fits, is one that Slack takes; so is a guest's."""
    times = 40 if many else 1
    waiting = [Waiting(made.request(), made.maybe(lambda: "https://slack.test/card") or "") for _ in range(times)]
    status = ClusterStatus(ClusterName(made.text()), [made.backup()], [made.wal()], [made.run()])
    cluster = HomeCluster(status, made.maybe(made.run), timedelta(hours=4), True)
    desk = HomeDesk(waiting, waiting, [made.run()] * times, [cluster] * times, [made.text()] * times)
    for view in (home(desk, now=NOON), guest_home()):
        require_view(view, home=True)
        for block in view["blocks"]:
            if block["type"] == "section":
                assert_harmless(block["text"]["text"])


def test_a_pause_that_ended_reads_as_ended() -> None:
    """While it holds, all that waits is named, copying included; afterwards nothing says that it still waits."""
    held = Pause("p1", ClusterName("slips"), ALICE, "Alice", NOON, NOON + timedelta(hours=2))
    assert "retention and copying between repositories wait" in pause_card(held).text
    over = pause_card(replace(held, ended_at=NOON + timedelta(hours=1), ended_by=CAROL)).text
    assert "Resumed by" in over
    assert not [word for word in ("wait", "Paused by") if word in over]


def test_a_home_tells_objectives_from_what_was_measured() -> None:
    """What may be lost and how long a restore may take are objectives; the backup's kind is said."""
    backup = replace(Rows(1).backup(), kind="base", damaged=None, finished_at=NOON)
    status = ClusterStatus(ClusterName("slips"), [backup], [])
    desk = HomeDesk([], [], [], [HomeCluster(status, None, timedelta(hours=4), False)])
    shown = str(home(desk, now=NOON))
    assert "The newest backup is a base backup, 0.0 s old" in shown
    assert "No drill yet: how long a restore takes was not measured" in shown
    assert "Objectives: lose at most 60 min, restore within 4 h" in shown
