"""Whom copies run as: never root, and where no namespace holds them, nobody whom a live server's files belong to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bot.config import Config
from bot.host.accounts import Account, server_account, stranger_account
from bot.host.namespaces import isolation


def copy_account(config: Config, server_facts: Mapping[str, Any]) -> Account:
    """Return the account; `server_facts` are those recorded with the backup, whose data directory may be on this host.

    Raises:
        Usage: there is no such account.
        Refused: `same-account`, there are no namespaces and we are the owner of a live server's files ourselves.
    """
    if isolation() is not None:
        return server_account(config.restore.user)
    recorded = server_facts.get("settings", {}).get("data_directory")
    places = [cluster.data_directory for cluster in config.clusters.values() if cluster.data_directory]
    return stranger_account(
        config.restore.user, except_uids=_owners([*places, *([Path(recorded)] if recorded else [])])
    )


def _owners(places: Iterable[Path]) -> frozenset[int]:
    owners = set()
    for place in places:
        try:
            owners.add(place.stat().st_uid)
        except OSError:
            continue  # not here, or not ours to look at: then it is not ours either
    return frozenset(owners)
