"""The container itself: made as the strategy says; what only the account's owner can set up is said, with the lines for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bot.errors import Unavailable
from bot.repository.stores.azure import Azure
from bot.repository.stores.lifecycle import azure_policy
from bot.repository.stores.patience import Patience
from bot.repository.stores.place import Remark, State, Step, unseen


class AzureContainer:
    """What `pitstop storage setup` and `pitstop check` do with the container of an Azure repository.

    Versioning, TLS and the lifecycle belong to the storage account, which the rights on a container do not reach.
    """

    def __init__(self, cloud: Azure, patience: Patience) -> None:
        self._cloud, self._patience = cloud, patience

    def setup(self, *, dry_run: bool) -> Iterator[Step]:
        """Yield what is done, or would be; done twice it changes nothing.

        Raises, but for a dry run:
            Unavailable: naming the permission that is missing, among others.
        """
        text = f"the container {self._cloud.container.name}, closed to the public"
        try:
            state = self._made(dry_run)
        except Unavailable as error:
            if not dry_run:
                raise
            yield unseen(f"the container {self._cloud.container.name}", error)
            state = "perhaps"
        yield Step("bucket", state, text)
        for name, line in self._lines():
            yield Step(name, "by-hand", line)

    def _made(self, dry_run: bool) -> State:
        if self._exists():
            return "there"
        if dry_run:
            return "would"
        return "done" if self._patience.insist(self._cloud.create_container) else "there"

    def document(self) -> dict[str, Any]:
        """Return what `--dry-run` prints: the account's lifecycle policy as it should be."""
        return {"lifecycle": self._policy()}

    def remarks(self) -> Iterator[Remark]:
        """Yield what is good and bad about the live container."""
        access = self._patience.insist(self._cloud.public_access)
        if access:
            sentence = f"Anybody may read the container {self._cloud.container.name} ({access})."
            yield Remark("fail", "private", sentence, "az storage container set-permission --public-access off …")
        else:
            yield Remark("ok", "private", "The container is closed to the public.")
        account = self._cloud.container.account
        sentence = "The lifecycle belongs to the storage account and cannot be read with rights on the container."
        fix = f"az storage account management-policy show --account-name {account} --resource-group …"
        yield Remark("warn", "lifecycle", sentence, f"{fix}: no rule may reach Pitstop's prefix but its own.")

    def _lines(self) -> Iterator[tuple[str, str]]:
        account = f"--account-name {self._cloud.container.account} --resource-group …"
        soft = "--enable-versioning true --enable-delete-retention true --delete-retention-days 30"
        yield "versioning", f"az storage account blob-service-properties update {account} {soft}"
        name = self._cloud.container.account
        yield "tls", f"az storage account update --name {name} --https-only true --min-tls-version TLS1_2"
        policy = json.dumps(self._policy(), separators=(",", ":"))
        yield "lifecycle", f"az storage account management-policy create {account} --policy '{policy}'"

    def _policy(self) -> dict[str, Any]:
        return azure_policy(self._cloud.container.name, self._cloud.prefix)

    def _exists(self) -> bool:
        try:
            self._patience.insist(self._cloud.public_access)
        except Unavailable as error:
            if error.reason_code != "storage-no-bucket":
                raise
            return False
        return True
