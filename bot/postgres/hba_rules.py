"""Access rules open to the world or to more addresses than anybody needs, and those PostgreSQL could not read. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network

from bot.postgres.findings import Finding

_EVERYWHERE = {"all", "0.0.0.0", "::"}  # noqa: S104 - what rules say, not what anything binds to
_WIDEST_4, _WIDEST_6 = 16, 48
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

    @property
    def network(self) -> IPv4Network | IPv6Network | None:
        """The addresses it lets try, or None where it names none (all, samehost, a host's name)."""
        if not self.kind.startswith("host") or self.address is None or self.is_open:
            return None
        try:
            return ip_network(f"{self.address}/{_prefix(self.netmask)}" if self.netmask else self.address, strict=False)
        except ValueError:
            return None


def _prefix(netmask: str) -> str:
    """Return a mask as ip_network takes it; it knows dotted masks of IPv4 alone."""
    return netmask if ":" not in netmask else str(int(IPv6Address(netmask)).bit_count())


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
        elif (network := rule.network) is not None and rule.method != "reject":
            yield from _addresses(rule, network)


def _addresses(rule: HbaRule, network: IPv4Network | IPv6Network) -> Iterator[Finding]:
    """Judge a rule that names addresses: how many there are, and whether they may come without TLS."""
    if network.is_loopback:
        return
    if network.prefixlen < (_WIDEST_4 if network.version == 4 else _WIDEST_6):
        many = f"2^{network.max_prefixlen - network.prefixlen}"
        sentence = f"pg_hba.conf line {rule.line} lets all {many} addresses of {network} try ({rule.method})."
        fix = f"Name the hosts that need it in line {rule.line}, with /32 or a small network, then reload."
        yield Finding("warn", "hba-wide", sentence, fix)
    if rule.kind in {"host", "hostnossl"}:
        sentence = f"pg_hba.conf line {rule.line} lets {network} in without TLS ({rule.kind}, {rule.method})."
        yield Finding("warn", "hba-plain", sentence, f"Write hostssl in line {rule.line}, then reload.")
