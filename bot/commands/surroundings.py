"""What a command works with: the configuration, the ledger, and who is typing."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bot import config as configuration
from bot import desk
from bot.commands.chosen import config_path
from bot.config import ClusterConfig, Config
from bot.errors import Unavailable, Usage
from bot.ledger import Ledger
from bot.model.ids import ClusterName
from bot.model.people import HOST_TEAM, Person
from bot.process.place import Place, utc_now


@dataclass(frozen=True)
class Surroundings:
    """Read once per command; `me` is the login behind it."""

    place: Place
    me: Person

    @property
    def config(self) -> Config:
        """The whole configuration."""
        return self.place.config

    @property
    def ledger(self) -> Ledger:
        """The bot's ledger, created when it was missing."""
        return self.place.ledger

    def now(self) -> datetime:
        """Return the present time, aware UTC."""
        return self.place.now()

    def entropy(self) -> bytes:
        """Return the random bytes an id or a key is made from."""
        return self.place.entropy(16)

    def key(self, verb: str) -> str:
        """Return an idempotency key: each command line is one call."""
        return f"cli:{verb}:{self.entropy().hex()}"

    def cluster(self, name: str, action: str) -> tuple[ClusterName, ClusterConfig]:
        """Return a cluster by name; asking for an unknown one is noted in the audit.

        Raises:
            Usage: there is none of that name.
        """
        with self.attempt(action, name):
            return ClusterName(name), self.config.cluster(name)

    @contextmanager
    def attempt(self, action: str, subject: str) -> Iterator[None]:
        """Note in the audit what the block could not understand."""
        try:
            yield
        except Usage as error:
            desk.note_attempt(self.ledger, self.now(), self.me.key, action, subject[:200], error)
            raise


def read_config() -> tuple[Config, Path]:
    """Read the configuration named by `--config`, or the default one.

    Raises:
        Usage: it is missing or has problems.
    """
    return configuration.load(config_path.get())


def surroundings() -> Surroundings:
    """Read the configuration and open the ledger.

    Raises:
        Usage: the configuration is missing or has problems.
        Unavailable: the ledger cannot be created or used.
    """
    config, path = read_config()
    ledger = Ledger(config.ledger)
    try:
        ledger.create()
    except OSError as error:
        raise Unavailable(
            f"The ledger {config.ledger} cannot be used: {error.strerror}.",
            hint="May this user write there? Pitstop's own user and root may.",
            code="ledger",
        ) from None
    return Surroundings(Place(config, path, ledger, now=utc_now), Person(HOST_TEAM, login()))


def login() -> str:
    """Return the login name of the person typing.

    Under sudo it is the one who called sudo. SUDO_USER is believed from root alone: root could be anybody here anyway,
    and nobody else can use it to pass for another.
    """
    if os.geteuid() == 0 and (behind := os.environ.get("SUDO_USER")):
        try:
            return pwd.getpwnam(behind).pw_name
        except KeyError:
            pass
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
