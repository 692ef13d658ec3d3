"""The rules behind `pitstop check`, without a server: settings, rights, access rules, transport."""

from __future__ import annotations

import pytest

from bot.config import ClusterConfig
from bot.errors import Usage
from bot.postgres.connect import hba_line, is_local
from bot.postgres.findings import Finding
from bot.postgres.hba_rules import HbaRule, check_hba
from bot.postgres.right_rules import Rights, check_rights
from bot.postgres.setting_rules import Settings, check_settings
from bot.postgres.transport import check_transport, require_verified

GOOD = {
    "server_version_num": "160002",
    "wal_level": "replica",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    "max_slot_wal_keep_size": "50000",
    "data_checksums": "on",
}


def settings(**changed: str) -> Settings:
    """A server that is fine, but for what is changed."""
    return Settings({**GOOD, **changed}, in_recovery=False, senders=0, slots=0, our_slots=0, standbys=("one", "two"))


def bad(found: list[Finding]) -> dict[str, Finding]:
    """What is not ok, by code."""
    return {finding.code: finding for finding in found if finding.level != "ok"}


def test_a_good_server_has_nothing_to_complain_about() -> None:
    """The base of this page's other tests is green."""
    assert bad(list(check_settings(settings()))) == {}


@pytest.mark.parametrize(
    ("number", "level", "code"), [("130015", "fail", "server-too-old"), ("190000", "warn", "server-too-new")]
)
def test_versions_that_are_not_supported(number: str, level: str, code: str) -> None:
    """PostgreSQL 13 fails and says up to where to upgrade; a future one warns."""
    found = bad(list(check_settings(settings(server_version_num=number))))
    assert (found[code].level, bool(found[code].fix)) == (level, True)


@pytest.mark.parametrize("names", ["*", "ANY 1 (*)", 'FIRST 1 (one, "*")', "one, *", "2 (*)"])
def test_a_star_in_any_place_is_refused(names: str) -> None:
    """However `*` is written, the receiver would be synchronous unasked; the line names the standbys there are."""
    finding = bad(list(check_settings(settings(synchronous_standby_names=names))))["synchronous-star"]
    assert finding.level == "fail"
    assert finding.fix.startswith("""ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 ("one", "two")';""")


def test_a_star_without_any_standby() -> None:
    """Where no standby streams, the line ends synchronous replication rather than naming nobody."""
    alone = Settings({**GOOD, "synchronous_standby_names": "*"}, in_recovery=False, senders=0, slots=0, our_slots=0)
    fix = bad(list(check_settings(alone)))["synchronous-star"].fix
    assert fix.startswith("ALTER SYSTEM SET synchronous_standby_names = '';")


def test_a_standby_whose_name_has_a_star_in_it() -> None:
    """Only the special name counts, not a name that contains it."""
    assert "synchronous-star" not in bad(list(check_settings(settings(synchronous_standby_names='"a*b", one'))))


def test_senders_and_slots_count_what_is_in_use() -> None:
    """What others use is not ours; what a running receiver uses is."""
    busy = Settings({**GOOD, "max_wal_senders": "4"}, in_recovery=False, senders=4, slots=9, our_slots=0)
    found = bad(list(check_settings(busy)))
    assert found["max-wal-senders"].level == found["max-replication-slots"].level == "fail"
    assert "max_replication_slots = 11" in found["max-replication-slots"].fix
    ours = Settings({**GOOD, "max_wal_senders": "4"}, in_recovery=False, senders=2, slots=10, our_slots=2)
    assert bad(list(check_settings(ours))) == {}


def test_rights_of_a_role_with_a_strange_name() -> None:
    """Every line quotes the role, whatever it is called, and 14 is not asked for functions it does not have."""
    rights = Rights('o"b', 14, False, False, frozenset(), frozenset(), ('d"b',))
    fixes = [finding.fix for finding in check_rights(rights)]
    assert all('"o""b"' in fix for fix in fixes)
    assert any('DATABASE "d""b"' in fix for fix in fixes)
    assert not any("pg_ident_file_mappings" in fix for fix in fixes)


def test_rules_that_only_look_open() -> None:
    """Sockets, networks and rejections are not open to the world."""
    rules = [
        HbaRule(1, "local", ("all",), ("all",), None, None, "trust"),
        HbaRule(2, "hostssl", ("all",), ("all",), "10.1.0.0", "255.255.0.0", "scram-sha-256"),
        HbaRule(3, "hostssl", ("all",), ("all",), "all", None, "reject"),
    ]
    assert list(check_hba(rules)) == []


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            'FATAL: no pg_hba.conf entry for replication connection from host "10.1.2.3", user "s", SSL encryption',
            "hostssl replication s 10.1.2.3/32 scram-sha-256",
        ),
        (
            'no pg_hba.conf entry for replication connection from host "[local]", user "Odd One", no encryption',
            'local replication "Odd One" scram-sha-256',
        ),
        (
            'no pg_hba.conf entry for host "fd00::1", user "all", database "replication", no encryption',
            'host "replication" "all" fd00::1/128 scram-sha-256',
        ),
        ("password authentication failed", None),
    ],
)
def test_the_line_for_pg_hba(message: str, line: str | None) -> None:
    """The server's own words become the exact line that lets this connection in, names quoted where they must be."""
    assert hba_line(message) == line


@pytest.mark.parametrize(
    ("dsn", "local"),
    [
        ("host=/run/postgresql", True),
        ("", True),
        ("host=127.4.5.6", True),
        ("host=::1", True),
        ("host=db.example hostaddr=127.0.0.1", True),
        ("host=/run/postgresql,db.example", False),
        ("host=10.0.0.1", False),
        ("postgresql://u@db.example/x", False),
    ],
)
def test_what_leaves_this_host(dsn: str, local: bool) -> None:
    """Sockets and loopback stay; one remote host of several is enough to leave."""
    assert is_local(dsn) is local


@pytest.mark.parametrize("mode", ["", "sslmode=disable", "sslmode=prefer", "sslmode=require", "sslmode=verify-ca"])
def test_anything_less_than_verify_full_is_refused(mode: str) -> None:
    """Each weaker sslmode fails the check and is refused before connecting, unless the configuration accepts it."""
    cluster = ClusterConfig(dsn=f"host=db.example user=u password=hidden {mode}")
    assert {finding.level for finding in check_transport(cluster)} == {"fail"}
    with pytest.raises(Usage, match=r"db\.example") as refused:
        require_verified(cluster)
    assert "insecure_transport = true" in refused.value.hint
    assert "hidden" not in str(refused.value)
    accepted = cluster.model_copy(update={"insecure_transport": True})
    assert {finding.level for finding in check_transport(accepted)} == {"warn"}
    require_verified(accepted)


@pytest.mark.parametrize("dsn", ["password=two words host=x", "password=two words=x", "postgresql://u:two%words@h/d"])
def test_an_unreadable_dsn_is_not_quoted(dsn: str) -> None:
    """libpq quotes the word it stumbles over, which may be half a password: where there is one, nothing is quoted."""
    [finding, _] = check_transport(ClusterConfig(dsn=dsn))
    assert finding.code == "bad-dsn"
    assert "words" not in finding.sentence


def test_verify_full_is_accepted_and_every_role_is_looked_at() -> None:
    """Three roles, three connections; a DSN that cannot be read is a finding, not a crash."""
    good = "host=db.example sslmode=verify-full"
    cluster = ClusterConfig(stream_dsn=good, observe_dsn=good, restore_dsn="host")
    assert [finding.level for finding in check_transport(cluster)] == ["ok", "ok", "fail"]
