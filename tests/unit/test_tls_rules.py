"""TLS and source addresses: what is said of a server, a connection, a certificate and an access rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from bot.postgres.hba_rules import HbaRule, check_hba
from bot.postgres.tls_rules import Tls, check_tls, not_after

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
WELL = Tls(True, "*", "TLSv1.2", "TLSv1.3", False, NOW + timedelta(days=200))
KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(end: datetime) -> bytes:
    """Return a self-signed certificate as DER."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "db.example.org")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key()).serial_number(7)
    made = made.not_valid_before(datetime(1960, 1, 1, tzinfo=UTC)).not_valid_after(end)
    return made.sign(KEY, SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize("year", [1999, 2026, 2049, 2050, 2300])
def test_the_end_of_a_certificate_is_read(year: int) -> None:
    """In both ways in which X.509 writes a time."""
    end = datetime(year, 3, 4, 5, 6, 7, tzinfo=UTC)
    assert not_after(certificate(end)) == end


@given(st.binary(max_size=80))
def test_what_is_no_certificate_is_refused(data: bytes) -> None:
    """Anything else is a ValueError, whatever it is."""
    with pytest.raises(ValueError):
        not_after(data)


@pytest.mark.parametrize(
    ("change", "level", "code"),
    [
        ({}, "ok", "tls"),
        ({"local": True, "version": None}, "ok", "tls"),
        ({"on": False, "local": True, "version": None, "not_after": None}, "warn", "tls-off"),
        ({"on": False, "local": True, "version": None, "not_after": None, "listens": "localhost"}, "ok", "tls"),
        ({"oldest": "TLSv1"}, "warn", "tls-old"),
        ({"version": None}, "fail", "tls-not-used"),
        ({"version": "TLSv1.1"}, "warn", "tls-old"),
        ({"not_after": NOW - timedelta(days=1)}, "fail", "tls-expired"),
        ({"not_after": NOW + timedelta(days=9)}, "warn", "tls-expires"),
    ],
)
def test_each_weakness_is_one_finding(change: dict[str, object], level: str, code: str) -> None:
    """What is wrong is said once, with the line that puts it right."""
    [finding] = check_tls(replace(WELL, **change), now=NOW)  # type: ignore[arg-type]
    assert (finding.level, finding.code) == (level, code)
    assert bool(finding.fix) is (level != "ok")


def test_what_the_configuration_accepts_is_a_warning() -> None:
    """With insecure_transport an unencrypted connection is only warned of."""
    [finding] = check_tls(replace(WELL, version=None), now=NOW, accepted=True)
    assert finding.level == "warn"


@pytest.mark.parametrize(
    ("kind", "address", "netmask", "codes"),
    [
        ("hostssl", "10.1.2.3", "255.255.255.255", []),
        ("hostssl", "10.1.0.0", "255.255.0.0", []),
        ("hostssl", "10.0.0.0", "255.0.0.0", ["hba-wide"]),
        ("host", "10.1.2.0", "255.255.255.0", ["hba-plain"]),
        ("hostnossl", "10.0.0.0", "255.0.0.0", ["hba-wide", "hba-plain"]),
        ("host", "127.0.0.1", "255.255.255.255", []),
        ("host", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", []),
        ("hostssl", "fd00::", "ff00::", ["hba-wide"]),
        ("hostssl", "fd00:1:2::", "ffff:ffff:ffff::", []),
        ("hostssl", "samehost", None, []),
        ("hostssl", "db.example.org", None, []),
        ("local", None, None, []),
    ],
)
def test_rules_are_held_to_few_addresses_and_to_tls(
    kind: str, address: str | None, netmask: str | None, codes: list[str]
) -> None:
    """A network wider than /16 (IPv6: /48), and one that may come without TLS, are warned of; this host is not."""
    rule = HbaRule(7, kind, ("all",), ("all",), address, netmask, "scram-sha-256")
    found = list(check_hba([rule]))
    assert [finding.code for finding in found] == codes
    assert all("line 7" in finding.fix for finding in found)
    assert not list(check_hba([replace(rule, method="reject")]))
