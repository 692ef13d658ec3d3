"""`/backup runbook`: the ledger's copy, sent to the person as a file."""

from __future__ import annotations

from bot.errors import Usage
from bot.ledger import runbooks
from bot.model.ids import ClusterName
from bot.slack.blocks import Message
from bot.slack.client import call
from bot.slack.files import File, share
from bot.slack.text import code, moment
from handlers.payloads import Doer
from handlers.replies import reply
from handlers.wiring import Wiring


def send_runbook(wiring: Wiring, doer: Doer, cluster: ClusterName) -> None:
    """Share the runbook in a direct message, where it can be kept and printed. Calls Slack; not for a listener.

    Raises:
        Usage: there is none yet.
    """
    with wiring.ledger.read() as tx:
        kept = runbooks.find(tx, cluster)
    if kept is None:
        raise Usage(
            f"There is no runbook of {cluster} yet.",
            hint=f"It is written within ten minutes; `pitstop runbook {cluster}` on the host writes it now.",
            code="no-runbook",
        )
    conversation = str(call(wiring.client, "conversations.open", users=doer.who.user)["channel"]["id"])
    page = File(f"runbook-{cluster}.md", f"Runbook of {cluster}", kept.body.encode())
    written = f"The runbook of {code(cluster, 80)}, written {moment(kept.at)}"
    share(wiring.client, [page], channel=conversation, comment=written)
    reply(wiring.client, doer, Message(f"{written}, is in your direct messages. It is in every repository as well."))
