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
from bot.model.requests import State
from bot.sandbox.driver import Driver, Message
from bot.slack.cards import actions

ENGINEER, DBA = "nok", "somchai"
RESULTS, APPROVALS = "db-backups", "db-approvals"
TABLE = "Transactions"

_BACKUP = re.compile(r"\d{8}T\d{6}Z-base-[0-9a-f]{4,}")
_PSQL = re.compile(r'psql "([^"]+)"')
_LATE_S = 120.0


@dataclass(slots=True)
class Teller:
    """Prints what happened, each line with the seconds since the story began."""

    say: Callable[[str], None]
    began: float = field(default_factory=time.monotonic)

    def tell(self, sentence: str) -> None:
        """Say one sentence."""
        self.say(f"{time.monotonic() - self.began:6.1f} s  {sentence}")


def tell_story(*, directory: Path | None = None, say: Callable[[str], None] = print) -> None:
    """Play the whole story in a workspace of its own.

    Raises:
        Failed: something did not happen as promised; the message says what was seen instead.
    """
    teller = Teller(say)
    teller.tell("Setting up a PostgreSQL 18 with a small shop, a Slack workspace, and the bot")
    with stage(directory=directory) as scene:
        driver = scene.driver
        teller.tell(f"The bot is connected; the shop has {_rows(scene.dsn)} rows in {TABLE} and customers keep writing")
        _back_up(driver, teller)
        lost = _lose_the_table(scene, teller)
        card = _ask(driver, teller, lost)
        _try_alone(driver, teller, card)
        _approve(driver, teller, card)
        result = _wait_for_rows(driver, teller)
        _compare(result, lost, teller)


def _rows(dsn: str) -> int:
    with psycopg.connect(dsn, dbname=shop.DATABASE) as connection:
        return shop.fingerprint(connection, TABLE).rows


def _back_up(driver: Driver, teller: Teller) -> None:
    teller.tell(f"{ENGINEER} types /backup now {CLUSTER}")
    driver.command(ENGINEER, RESULTS, f"/backup now {CLUSTER}")
    done = driver.wait_for(lambda d: _find(d.messages(RESULTS), "✅", _BACKUP), _LATE_S, what="a finished base backup")
    found = _BACKUP.search(done.full_text)
    teller.tell(f"Backup taken: {found[0] if found else '?'}")


def _lose_the_table(scene: Stage, teller: Teller) -> shop.Dropped:
    time.sleep(3)  # a few more orders, so that the WAL holds something the backup does not
    lost = shop.drop_table(scene.dsn, TABLE)
    teller.tell(f'DROP TABLE "{TABLE}" in transaction {lost.xid}: {lost.before.rows} rows are gone')
    return lost


def _ask(driver: Driver, teller: Teller, lost: shop.Dropped) -> Message:
    words = f"/pitr {CLUSTER} before:xid:{lost.xid} reason: a migration dropped {TABLE}"
    teller.tell(f"{ENGINEER} types {words}")
    driver.command(ENGINEER, RESULTS, words)
    plan = driver.wait_for(
        lambda d: _with_button(d.dm(ENGINEER), actions.CONFIRM), _LATE_S, what="a plan with a button to confirm it"
    )
    teller.tell("The plan is in their DM; they send it for approval")
    driver.click(ENGINEER, plan, actions.CONFIRM)
    return driver.wait_for(
        lambda d: _with_button(d.messages(APPROVALS), actions.APPROVE), _LATE_S, what="a card that can be approved"
    )


def _try_alone(driver: Driver, teller: Teller, card: Message) -> None:
    driver.click(ENGINEER, card, actions.APPROVE)
    answer = driver.wait_for(
        lambda d: next((m for m in d.ephemerals(ENGINEER, APPROVALS) if "own request" in m.full_text), None),
        _LATE_S,
        what="the refusal of a self-approval",
    )
    teller.tell(f"{ENGINEER} presses Approve and is refused: {_first_line(answer.text)}")


def _approve(driver: Driver, teller: Teller, card: Message) -> None:
    fresh = driver.message(APPROVALS, card.ts)
    if fresh is None or not fresh.has_button(actions.APPROVE):
        raise Failed("The request could not be approved any more after the refused self-approval.")
    driver.click(DBA, fresh, actions.APPROVE)
    teller.tell(f"{DBA} reads the same plan and presses Approve")


def _wait_for_rows(driver: Driver, teller: Teller) -> Message:
    ended = driver.wait_for(lambda d: _find(d.messages(APPROVALS), "✅", _PSQL, "❌", "♻️"), _LATE_S, what="the result")
    if not _PSQL.search(ended.full_text):
        raise Failed(f"The recovery did not succeed (wanted {State.SUCCEEDED}):\n{ended.full_text}")
    teller.tell("Recovery is done; the result is in the channel, with a psql line")
    return ended


def _compare(result: Message, lost: shop.Dropped, teller: Teller) -> None:
    found = _PSQL.search(result.full_text)
    assert found is not None
    with psycopg.connect(_unescaped(found[1]), dbname=shop.DATABASE) as connection:
        back = shop.fingerprint(connection, TABLE)
    if back != lost.before:
        raise Failed(f"The rows differ: {lost.before.rows} were lost, {back.rows} came back.", code="rows-differ")
    teller.tell(f"All {back.rows} rows are back, equal to what was dropped (SHA-256 {back.digest[:16]}…)")


def _find(messages: list[Message], mark: str, pattern: re.Pattern[str], *ends: str) -> Message | None:
    for message in messages:
        text = message.full_text
        if (mark in text and pattern.search(text)) or any(end in text for end in ends):
            return message
    return None


def _with_button(messages: list[Message], action: str) -> Message | None:
    return next((message for message in reversed(messages) if message.has_button(action)), None)


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
