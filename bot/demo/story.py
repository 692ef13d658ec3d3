"""The story without a browser: a table is dropped and comes back, told with times; it ends well only if the rows are equal."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from bot.demo import shop
from bot.demo.stage import CLUSTER, Stage, stage
from bot.errors import Failed
from bot.ledger import audit
from bot.sandbox.driver import Driver, Message
from bot.slack.cards import actions

ENGINEER, DBA = "nok", "somchai"
RESULTS, APPROVALS = "db-backups", "db-approvals"
TABLE = "Transactions"
AFTER_THE_BACKUP = 5
"""Orders that come in after the backup, so that it alone could not bring everything back."""

_BACKUP = re.compile(r"\d{8}T\d{6}Z-base-[0-9a-f]{4,}")
_PSQL = re.compile(r'psql "([^"]+)"')
_REQUEST = re.compile(r"Request `([a-z0-9]+)`")
_DATE = re.compile(r"<!date[^>]*> \(([^)]*)\)")
_ENDS_BADLY = ("❌", "♻️", "⌛", "🚫", "⏹️")
_LATE_S = 120.0


@dataclass(slots=True)
class Teller:
    """Prints what happens, with the seconds since the story began; what is said and typed stands further in."""

    say: Callable[[str], None]
    began: float = field(default_factory=time.monotonic)

    def tell(self, sentence: str) -> None:
        """Say what happens."""
        self.say(f"{time.monotonic() - self.began:6.1f} s  {sentence}")

    def show(self, *lines: str) -> None:
        """Show what somebody typed, or what Pitstop answered."""
        for line in lines:
            self.say(f"{'':10}  {line}")


def tell_story(*, directory: Path | None = None, say: Callable[[str], None] = print) -> None:
    """Play the whole story in a workspace of its own.

    Raises:
        Failed: something did not happen as promised; the message says what was seen instead.
    """
    teller = Teller(say)
    say("A table is dropped on production, and comes back: asked for in Slack, approved by a second person.\n")
    teller.tell("Setting up: a PostgreSQL 18 with a small shop, a Slack workspace, and the bot")
    with stage(directory=directory) as scene:
        driver = scene.driver
        teller.tell(f"Ready: {_rows(scene.dsn):,} rows in {TABLE}, and customers keep buying")
        _back_up(driver, teller)
        lost = _lose_the_table(scene, teller)
        card = _ask(driver, teller, lost)
        _try_alone(driver, teller, card)
        _approve(driver, teller, card)
        result = _wait_for_rows(driver, teller, card)
        _compare(result, lost, teller)
        _read_the_audit(scene, teller, card)
        teller.tell("Ending: everything that was started is stopped and removed")
    teller.tell("The end")


def _rows(dsn: str) -> int:
    with psycopg.connect(dsn, dbname=shop.DATABASE) as connection:
        return shop.fingerprint(connection, TABLE).rows


def _back_up(driver: Driver, teller: Teller) -> None:
    teller.tell(f"{ENGINEER}, the engineer on call, types in #{RESULTS}")
    _type(driver, teller, f"/backup now {CLUSTER}")
    done = _see(driver, lambda d: _find(d.messages(RESULTS), "✅", _BACKUP), "a finished base backup")
    found = _BACKUP.search(done.full_text)
    teller.tell(f"Backup taken: {found[0] if found else '?'}")
    teller.show(*_lines(done, "read, "))


def _lose_the_table(scene: Stage, teller: Teller) -> shop.Dropped:
    enough, deadline = _rows(scene.dsn) + AFTER_THE_BACKUP, time.monotonic() + _LATE_S
    while _rows(scene.dsn) < enough and time.monotonic() < deadline:
        time.sleep(0.1)
    lost = shop.drop_table(scene.dsn, TABLE)
    teller.tell(f'Table dropped: a migration ran DROP TABLE "{TABLE}" (transaction {lost.xid}, {lost.at:%H:%M:%S} UTC)')
    teller.show(f"{lost.before.rows:,} rows are gone, {AFTER_THE_BACKUP} and more of them younger than the backup")
    return lost


def _ask(driver: Driver, teller: Teller, lost: shop.Dropped) -> Message:
    teller.tell(f"{ENGINEER} types")
    _type(driver, teller, f"/pitr {CLUSTER} before:xid:{lost.xid} reason: a migration dropped {TABLE}")
    plan = _see(driver, lambda d: _with_button(d.dm(ENGINEER), actions.CONFIRM), "a plan with a button to confirm it")
    teller.tell("The plan is in their direct messages")
    teller.show(*_lines(plan, "*Replays*", "*Last commit kept*", "*First left out*", "*Fetches*"))
    driver.click(ENGINEER, plan, actions.CONFIRM)
    card = _see(driver, lambda d: _with_button(d.messages(APPROVALS), actions.APPROVE), "a card that can be approved")
    teller.tell(f"{ENGINEER} sends it for approval; the card is in #{APPROVALS}")
    return card


def _try_alone(driver: Driver, teller: Teller, card: Message) -> None:
    driver.click(ENGINEER, card, actions.APPROVE)
    answer = _see(driver, lambda d: next(iter(d.ephemerals(ENGINEER, APPROVALS)), None), "an answer to a self-approval")
    if "yourself" not in answer.text:
        raise Failed(f"The self-approval was answered with:\n{answer.text}", code="self-approval")
    teller.tell(f"Self-approval refused: {ENGINEER} presses Approve, and Pitstop says")
    teller.show(answer.text.splitlines()[0])


def _approve(driver: Driver, teller: Teller, card: Message) -> None:
    fresh = driver.message(APPROVALS, card.ts)
    if fresh is None or not fresh.has_button(actions.APPROVE):
        raise Failed("The request could not be approved any more after the refused self-approval.")
    driver.click(DBA, fresh, actions.APPROVE)
    teller.tell(f"Approved by the second person: {DBA}, a DBA, read the same plan")


def _wait_for_rows(driver: Driver, teller: Teller, card: Message) -> Message:
    def ended(d: Driver) -> Message | None:
        now = d.message(APPROVALS, card.ts)
        return now if now and now.text.startswith(("✅", *_ENDS_BADLY)) else None

    result = _see(driver, ended, "the result")
    if not result.text.startswith("✅"):
        raise Failed(f"The recovery did not succeed:\n{result.text}")
    thread = [message for message in driver.messages(APPROVALS, thread_ts=card.ts) if "✓" in message.text]
    steps = ", ".join(line.removeprefix("✓ ").replace(",", "") for m in thread[-1:] for line in _lines(m, "✓"))
    teller.tell(f"Recovered beside the live server, nothing overwritten{': ' + steps if steps else ''}")
    teller.show(*_lines(result, "✅ stopped", "✅ rows", "✅ every"))
    return result


def _compare(result: Message, lost: shop.Dropped, teller: Teller) -> None:
    found = _PSQL.search(result.full_text)
    if found is None:
        raise Failed(f"The result does not say how to connect:\n{result.full_text}")
    with psycopg.connect(_unescaped(found[1]), dbname=shop.DATABASE) as connection:
        back = shop.fingerprint(connection, TABLE)
    if back != lost.before:
        raise Failed(f"The rows differ: {lost.before.rows} were lost, {back.rows} came back.", code="rows-differ")
    teller.tell(f"Rows back and equal: all {back.rows:,} of them (SHA-256 over every row, {back.digest[:16]}…)")


def _read_the_audit(scene: Stage, teller: Teller, card: Message) -> None:
    found = _REQUEST.search(card.full_text)
    with scene.ledger.read() as tx:
        report = audit.verify(tx)
        steps = [entry.action for entry in audit.entries(tx, subject=found[1])] if found else []
    if report.problems:
        raise Failed(f"The audit chain is broken: {' '.join(report.problems)}", code="audit")
    teller.tell(f"Every step is in the audit chain, verified ({report.entries} entries)")
    teller.show(" → ".join(step.removeprefix("request.") for step in steps if step.startswith("request.")))


def _type(driver: Driver, teller: Teller, words: str) -> None:
    teller.show(words)
    done = driver.command(ENGINEER, RESULTS, words)
    if not done.acked:
        raise Failed(f"{words} was not answered: {done.message}", code="not-acknowledged")


def _see(driver: Driver, look: Callable[[Driver], Message | None], what: str) -> Message:
    """Wait until somebody in the workspace sees it.

    Raises:
        Failed: it did not come; tells what the workspace showed instead.
    """
    try:
        return driver.wait_for(look, _LATE_S, what=what)
    except TimeoutError as error:
        raise Failed(f"{error}", code="story") from None


def _find(messages: list[Message], mark: str, pattern: re.Pattern[str]) -> Message | None:
    for message in messages:
        if message.text.startswith("❌"):
            raise Failed(f"It did not succeed:\n{message.text}")
        if mark in message.text and pattern.search(message.text):
            return message
    return None


def _with_button(messages: list[Message], action: str) -> Message | None:
    return next((message for message in reversed(messages) if message.has_button(action)), None)


def _lines(message: Message, *beginnings: str) -> list[str]:
    """Return the lines of a message that begin with, or hold, one of `beginnings`, as a terminal shows them."""
    chosen = [line for line in message.text.splitlines() if any(word in line for word in beginnings)]
    return [_unescaped(_DATE.sub(r"\1", line).replace("*", "").replace("`", "")) for line in chosen]


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
