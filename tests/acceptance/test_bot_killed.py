"""The bot is killed in every state of a request, and Slack misbehaves: decisions happen once, and each card tells its row.

What is expected after `kill -9` and a new start, by the state the request was in:

| state when killed | after the new start |
|---|---|
| PLANNING | the plan's process outlives the bot, or is started, or, if it died as well, is started again: PROPOSED |
| PROPOSED | PROPOSED, and can be sent |
| PENDING | PENDING, and can be approved; an approval that was acknowledged but not carried out is carried out: APPROVED |
| APPROVED | an executor claims it, once: SUCCEEDED |
| RUNNING | the executor outlives the bot and is adopted: SUCCEEDED by the same run; if it died as well, by a second run |

The cards are held to their rows within 15 s of each new connection, whatever the request is doing meanwhile.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from bot import desk
from bot.host import processes
from bot.ledger import inbox
from bot.model.ids import RequestId
from bot.model.people import Person
from bot.model.requests import State
from bot.model.runs import Job, RunState
from bot.process.place import Place
from bot.process.watching import process_of
from bot.sandbox.driver import Driver, Message
from bot.sandbox.values import HOUSE_TEAM
from bot.slack.cards import actions
from jobs.context import utc_now
from tests.acceptance.office import APPROVALS, RESULTS, Office, open_office
from tests.commands import pitstop

pytestmark = pytest.mark.pg

IN_STEP_WITHIN_S = 15.0
SOMCHAI = Person(HOUSE_TEAM, "U0SOMCHAI")


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    """One office, whose bot does not live long."""
    with open_office() as opened:
        opened.backed_up()
        yield opened


def _killed_and_back(office: Office) -> None:
    """Start the bot anew, after it was killed; within 15 s of its connection every card is what its row says."""
    office.start_bot()
    office.until(lambda: not office.out_of_step(), f"the cards: {office.out_of_step()}", IN_STEP_WITHIN_S)


def _cards_of(office: Office, request: RequestId) -> list[Message]:
    """Return the messages that show this request itself, everywhere."""
    places = [office.driver.messages(APPROVALS), office.driver.dm("nok"), office.driver.messages(RESULTS)]
    return [m for place in places for m in place if "Recovery of slips:" in m.text and f"Request `{request}`" in m.text]


def _one_each(office: Office, request: RequestId, *places: str) -> None:
    """Assert one card per place; a twin of a post whose answer was lost has nothing to press."""
    shown = [card for card in _cards_of(office, request) if card.buttons]
    assert len(shown) == len(places), [card.text[:60] for card in shown]
    assert {card.channel for card in shown} == {m.channel for p in places if (m := office.shown(request, p))}


def test_a_bot_killed_in_each_state_of_a_request(office: Office) -> None:
    """One request goes its whole way although the bot dies in every state; nothing is decided twice, and no card lies."""
    request = office.ask("nok", "latest", "killed on the way")
    office.kill_bot()
    assert office.request(request).state in {State.PLANNING, State.PROPOSED}
    _killed_and_back(office)
    office.reaches(request, State.PROPOSED)

    plan = office.card(request, "dm:U0NOK", actions.CONFIRM)
    office.kill_bot()
    _killed_and_back(office)
    assert office.request(request).state is State.PROPOSED
    _one_each(office, request, "dm:U0NOK")

    assert office.driver.click("nok", plan, actions.CONFIRM).acked
    card = office.card(request, "approvals", actions.APPROVE)
    office.kill_bot()
    _killed_and_back(office)
    assert office.request(request).state is State.PENDING
    _one_each(office, request, "dm:U0NOK", "approvals")

    # An approval is acknowledged while Slack does not say who people are, and the bot dies before it is carried out.
    office.driver.fault("error", method="users.info", count=1000)
    assert office.driver.click("somchai", card, actions.APPROVE).acked
    office.until(lambda: _open_inbox(office), "the click in the inbox")
    office.kill_bot()
    office.driver.fault("none")
    assert office.request(request).state is State.PENDING
    _killed_and_back(office)
    office.reaches(request, State.RUNNING, State.VERIFYING)
    assert not _open_inbox(office)

    office.kill_bot()
    run = office.request(request).run
    _killed_and_back(office)
    done = office.reaches(request, State.SUCCEEDED)
    assert done.run == run
    assert office.audited(request).count("request.claim") == 1
    assert [decision.by for decision in done.decisions] == [SOMCHAI]
    office.until(lambda: not office.out_of_step(), "the cards", IN_STEP_WITHIN_S)
    _one_each(office, request, "dm:U0NOK", "approvals")
    office.driver.click("nok", office.card(request, "dm:U0NOK", actions.REMOVE), actions.REMOVE)


def _open_inbox(office: Office) -> list[inbox.Item]:
    with office.ledger.read() as tx:
        return inbox.open(tx)


@pytest.mark.parametrize("with_its_plan", [False, True], ids=["the plan is queued", "the plan's process died too"])
def test_a_bot_killed_while_a_plan_is_made(office: Office, with_its_plan: bool) -> None:
    """PLANNING when killed, whether or not a process had begun: one plan reaches the requester, on one card, and can be sent."""
    office.kill_bot()
    asked = office.ask_unseen(reason=f"planning {with_its_plan}")
    assert asked.run is not None
    if with_its_plan:
        # Its row says that it runs, and nobody holds its lock: what a machine that lost power leaves.
        desk.start_run(office.ledger, asked.run, utc_now())
    _killed_and_back(office)
    office.reaches(asked.id, State.PROPOSED)
    made = [run.id for run in office.runs(Job.PLAN, RunState.SUCCEEDED) if run.request == asked.id]
    assert (made != [asked.run]) is with_its_plan
    assert office.audited(asked.id).count("request.propose") == 1
    plan = office.card(asked.id, "dm:U0NOK", actions.CONFIRM)
    _one_each(office, asked.id, "dm:U0NOK")
    assert office.driver.click("nok", plan, actions.CANCEL).acked
    office.reaches(asked.id, State.CANCELLED)


def test_a_bot_killed_with_its_executor(office: Office) -> None:
    """RUNNING when bot and executor die together: INTERRUPTED is seen, a second run takes it up, and one server stands."""
    request, card = office.pend("nok", "latest", "both of them")
    assert office.driver.click("somchai", card, actions.APPROVE).acked
    office.until(lambda: _works(office, request), "the executor")
    office.kill_bot()
    [first] = office.runs(Job.EXECUTE, RunState.RUNNING)
    place = Place(office.config, office.config_path, office.ledger)
    process = process_of(place, first.id)
    assert process is not None
    processes.signal(process, signal.SIGKILL)
    assert processes.wait_gone(process, 30)
    _killed_and_back(office)
    done = office.reaches(request, State.SUCCEEDED)
    assert done.run != first.id
    assert office.audited(request).count("request.claim") == 1
    office.until(lambda: not office.out_of_step(), "the cards", IN_STEP_WITHIN_S)
    _one_each(office, request, "dm:U0NOK", "approvals")
    assert len([one for one in (office.home / "restores").iterdir() if one.is_dir()]) == 1
    office.driver.click("nok", office.card(request, "dm:U0NOK", actions.REMOVE), actions.REMOVE)


def _works(office: Office, request: RequestId) -> bool:
    """Whether an executor has claimed the request and is at work."""
    return office.request(request).state is State.RUNNING and bool(office.runs(Job.EXECUTE, RunState.RUNNING))


def test_a_bot_killed_between_approval_and_executor(office: Office) -> None:
    """An approved request that no executor has yet gets one after the new start, with the approvers' rights checked anew."""
    request, _ = office.pend("nok", "latest", "approved and forgotten")
    office.kill_bot()
    # The last thing the dying bot did: the approval's transaction. Its tick that would have queued the executor never came.
    office.approve_unseen(request)
    assert office.request(request).state is State.APPROVED
    assert not office.audited(request).count("request.claim")
    _killed_and_back(office)
    office.reaches(request, State.SUCCEEDED)
    assert office.audited(request).count("request.claim") == 1
    office.until(lambda: not office.out_of_step(), "the cards", IN_STEP_WITHIN_S)
    _one_each(office, request, "dm:U0NOK", "approvals")
    office.driver.click("nok", office.card(request, "dm:U0NOK", actions.REMOVE), actions.REMOVE)


def test_an_answer_lost_after_success_makes_a_twin_without_buttons(office: Office) -> None:
    """Slack posts the card but its answer is lost: the card is posted again, and only the one the ledger knows can be pressed."""
    request, plan = office.propose("nok", "latest", "a lost answer")
    office.driver.fault("lose_answer", method="chat.postMessage", count=1)
    assert office.driver.click("nok", plan, actions.CONFIRM).acked
    card = office.card(request, "approvals", actions.APPROVE)
    twins = [m for m in office.driver.messages(APPROVALS) if f"Request `{request}`" in m.text]
    assert len(twins) == 2
    assert [m.ts for m in twins if m.buttons] == [card.ts]
    own = office.card(request, "dm:U0NOK", actions.CANCEL, text="🔔")
    assert office.driver.click("nok", own, actions.CANCEL).acked
    office.card(request, "approvals", text="⏹️")
    assert not [
        m
        for m in office.driver.messages(APPROVALS)
        if f"Request `{request}`" in m.text and m.has_button(actions.APPROVE)
    ]


def test_backups_go_on_while_slack_is_away_and_cards_catch_up(office: Office) -> None:
    """With Slack answering 500 a base backup is taken all the same; when Slack is back its card appears by itself."""
    office.driver.fault("error", method="*", count=100_000)
    before = len(office.driver.messages(RESULTS))
    said = pitstop("backup", "base", "slips", "--json", config=office.config_path)
    assert said.code == 0, said.err
    [run, *_] = office.runs(Job.BASE_BACKUP, RunState.SUCCEEDED)
    assert run.result is not None
    assert run.result["id"] == said.json["id"]
    assert len(office.driver.messages(RESULTS)) == before
    office.driver.fault("none")
    office.until(lambda: not office.out_of_step(), f"the cards: {office.out_of_step()}", IN_STEP_WITHIN_S)
    office.card(run.id, "results", text=said.json["id"], kind="run")


def test_what_is_pressed_while_the_socket_is_refreshed_is_acknowledged(office: Office) -> None:
    """Slack replaces the connection while people go on typing: every command is acknowledged within its three seconds."""

    def type_on(driver: Driver) -> list[float | None]:
        found = []
        end = time.monotonic() + 4
        while time.monotonic() < end:
            done = driver.command("ploy", RESULTS, "/backup help")
            assert done.acked, done.message
            found.append(done.seconds)
        return found

    with ThreadPoolExecutor(2) as pool:
        typing = pool.submit(type_on, office.driver)
        for _ in range(3):
            office.driver.fault("refresh", linger=1.0)
            time.sleep(1.0)
        waited = typing.result()
    assert len(waited) > 10
    assert office.connected


def test_a_second_bot_stands_by_and_takes_over(office: Office) -> None:
    """The second bot says that another leads and does nothing, until the leader is killed; then it answers people."""
    leader = office.bots[0]
    office.start_bot(wait=False)
    office.until(lambda: "another bot leads; standing by" in office.log, "the second bot standing by")
    assert office.driver.sockets() == 1
    leader.kill()
    leader.wait()
    office.bots.remove(leader)
    office.until(lambda: office.driver.sockets() == 0, "the leader's socket closing", 10)
    office.until(lambda: office.connected, "the second bot's connection", IN_STEP_WITHIN_S)
    assert "Is everything recoverable?" in office.answer_to("nok", "/backup")
