"""How a request ends that nobody refused: no longer as planned, or tried and failed; each says why, where, and what is next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bot.model.ids import RequestId
from bot.model.requests import State
from bot.slack import forms
from bot.slack.cards import actions
from tests.acceptance.office import NORMAL, Office, open_office

pytestmark = pytest.mark.pg

PLOY_ALONE = {**NORMAL, "approvers": ["U0PLOY"]}


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    """One office with a base backup."""
    with open_office() as opened:
        opened.backed_up()
        yield opened


def _asks_again(office: Office, request: RequestId, place: str) -> dict[str, str]:
    """Press Ask again on a card, and return what the form is filled in with."""
    card = office.card(request, place, actions.ASK_AGAIN)
    assert office.driver.click("nok", card, actions.ASK_AGAIN).acked
    form = office.see(
        lambda d: next((v for v in d.open_views("nok") if v.callback_id == actions.PITR_FORM), None), "the form"
    )
    office.driver.close_view("nok", form)
    found = {}
    for element in form.elements:
        option = element.get("initial_option")
        found[element["block_id"]] = option["value"] if option else element.get("initial_value", "")
    return found


def test_what_was_approved_under_another_policy_is_void(office: Office) -> None:
    """Who may approve was changed after the approval: nothing is carried out, the card says so and offers to ask again."""
    request, _ = office.pend("nok", "latest", "before the rules changed")
    office.kill_bot()
    office.approve_unseen(request)
    office.configure(approval=PLOY_ALONE)
    office.start_bot()
    office.reaches(request, State.VOID)
    void = office.card(request, "approvals", actions.ASK_AGAIN, text="♻️")
    assert "The approval policy changed after the plan was made." in void.text
    assert "nothing was done" in void.text
    assert _asks_again(office, request, "dm:U0NOK") == {
        forms.CLUSTER: "slips",
        forms.TARGET: "latest",
        forms.AT: "",
        forms.REASON: "before the rules changed",
    }
    assert not any((office.home / "restores").iterdir())


def test_a_plan_of_another_policy_cannot_be_approved(office: Office) -> None:
    """A card that waits while the rules change cannot be approved under either; the sentence says what to do."""
    office.restart(approval=PLOY_ALONE)
    request, card = office.pend("nok", "latest", "while the rules change")
    office.restart()
    told = office.press("somchai", card, actions.APPROVE)
    assert "The approval policy changed after the plan was made." in told
    assert "cancelled and asked for again" in told
    own = office.card(request, "dm:U0NOK", actions.CANCEL, text="🔔")
    assert office.driver.click("nok", own, actions.CANCEL).acked
    office.reaches(request, State.CANCELLED)


def test_a_damaged_backup_fails_the_recovery_and_alerts(office: Office) -> None:
    """A bit flipped in the stored backup is found: the recovery fails, names the object, alerts, and leaves nothing behind."""
    request, card = office.pend("nok", "latest", "from a damaged backup")
    stored = (path for path in (office.home / "repository").glob("slips/*/volumes/**/*") if path.is_file())
    volume = max(stored, key=lambda path: path.stat().st_size)
    content = bytearray(volume.read_bytes())
    content[len(content) // 2] ^= 1
    volume.chmod(0o600)
    volume.write_bytes(content)
    assert office.driver.click("ploy", card, actions.APPROVE).acked
    office.reaches(request, State.FAILED)
    failed = office.card(request, "approvals", actions.ASK_AGAIN, text="❌")
    alert = office.card(request, "alerts", text="❌")
    for shown in (failed, alert):
        assert "Nothing that was there before was touched." in shown.text
        assert "→" in shown.text, shown.text
    assert _asks_again(office, request, "dm:U0NOK")[forms.REASON] == "from a damaged backup"
    office.until(lambda: not any((office.home / "restores").iterdir()), "what had begun being removed", 30)
    office.until(lambda: not office.out_of_step(), "the cards", 30)
