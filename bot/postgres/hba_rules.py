"""Access rules open to the world, or that PostgreSQL itself could not read. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bot.postgres.findings import Finding

_EVERYWHERE = {"all", "0.0.0.0", "::"}  # noqa: S104 - what rules say, not what anything binds to
_OPEN_MASKS = {None, "0.0.0.0", "::"}  # noqa: S104


@dataclass(frozen=True, slots=True)
class HbaRule:
    """One line of pg_hba_file_rules; `error` is PostgreSQL's complaint about the line."""

    line: int
    kind: str
    databases: tuple[str, ...]
    users: tuple[str, ...]
    address: str | None
    netmask: str | None
    method: str
    error: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it lets every address try."""
        return self.kind.startswith("host") and self.address in _EVERYWHERE and self.netmask in _OPEN_MASKS


def check_hba(rules: Iterable[HbaRule]) -> Iterator[Finding]:
    """Yield a finding for each line that is broken or open to the world; nothing for rules that are fine."""
    for rule in rules:
        if rule.error:
            yield Finding(
                "warn", "hba-broken", f"pg_hba.conf line {rule.line}: {rule.error}.", "Mend that line, then reload."
            )
        elif rule.is_open and rule.method == "trust":
            yield Finding(
                "fail",
                "hba-open",
                f"pg_hba.conf line {rule.line} lets anybody in from anywhere without a password.",
                f"Replace trust by scram-sha-256 and the address by your network in line {rule.line}, then reload.",
            )
        elif rule.is_open and rule.method != "reject":
            yield Finding(
                "warn",
                "hba-open",
                f"pg_hba.conf line {rule.line} lets every address try ({rule.method}).",
                f"Narrow the address in line {rule.line} to your network, then reload.",
            )
