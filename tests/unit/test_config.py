"""The configuration file: what it accepts, and how all that is wrong with it is said at once."""

from __future__ import annotations

import textwrap
from datetime import timedelta
from pathlib import Path

import pytest

from bot.config import Config, load, parse_duration
from bot.errors import Usage
from bot.model.people import Person

MINIMAL = """
[repositories.local]
url = "file:///var/backups/pitstop"
[encryption]
key = "file:/etc/pitstop/key"
[clusters.slips]
dsn = "host=/run/postgresql user=pitstop"
"""


def read(tmp_path: Path, text: str) -> Config:
    """Write a file and load it."""
    path = tmp_path / "pitstop.toml"
    path.write_text(text)
    return load(path)[0]


def refused(tmp_path: Path, text: str) -> Usage:
    """Return the refusal of a file."""
    with pytest.raises(Usage) as error:
        read(tmp_path, text)
    return error.value


def test_a_minimal_file(tmp_path: Path) -> None:
    """One repository, one key and one DSN are enough; nobody may ask or approve until somebody is named."""
    config = read(tmp_path, MINIMAL)
    cluster = config.cluster("slips")
    assert cluster.stream == cluster.observe == "host=/run/postgresql user=pitstop"
    assert cluster.policy.requesters == cluster.policy.approvers == ()
    assert list(config.cluster_repositories("slips")) == ["local"]
    assert config.slack is None


def test_all_problems_at_once_with_their_key_paths(tmp_path: Path) -> None:
    """Six problems are six lines, each with the path of its key; a typo is an unknown key, never ignored."""
    error = refused(
        tmp_path,
        """
        spol = "/x"
        [repositories.local]
        url = "ftp://elsewhere"
        level = 99
        [encryption]
        key = "swordfish"
        [clusters.slips]
        dsn = "host=x"
        timezone = "Mars/Olympus"
        [clusters.slips.approval]
        approvers = ["@dbas"]
        expires = "soon"
        """,
    )
    assert error.reason_code == "bad-config"
    assert "has 7 problems" in error.message
    for path in (
        "spol: unknown key",
        "repositories.local.url: ",
        "repositories.local.level: ",
        "encryption.key: ",
        "clusters.slips.timezone: ",
        "clusters.slips.approval.approvers: ",
        "clusters.slips.approval.expires: ",
    ):
        assert path in error.message


def test_missing_tables_are_named(tmp_path: Path) -> None:
    """An empty file says which tables it needs."""
    error = refused(tmp_path, "")
    for table in ("repositories", "encryption", "clusters"):
        assert f"{table}: missing" in error.message


def test_no_toml(tmp_path: Path) -> None:
    """A syntax error is one sentence with the line; bytes that are no text as well."""
    assert "line 2" in refused(tmp_path, "ledger = '/x'\nspool = what\n").message
    path = tmp_path / "pitstop.toml"
    path.write_bytes(b"ledger = '\xff\xfe'")
    with pytest.raises(Usage, match="not valid TOML"):
        load(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Its path is repeated, with a question."""
    with pytest.raises(Usage) as error:
        load(tmp_path / "nowhere.toml")
    assert "nowhere.toml" in error.value.message
    assert error.value.hint.endswith("?")


@pytest.mark.parametrize(
    ("old", "new", "needle"),
    [
        ("[clusters.slips]", "[clusters.'Slips DB']", "lower-case letters"),
        ("[repositories.local]", "[repositories.'../x']", "lower-case letters"),
        ('dsn = "host=/run/postgresql user=pitstop"', 'stream_dsn = "host=x"', "both `stream_dsn` and `observe_dsn`"),
        ("user=pitstop", 'user=pitstop"\nrepositories = ["nowhere"]\nx-y = "', "clusters.slips.x-y: unknown key"),
        (
            "user=pitstop",
            'user=pitstop"\nrepositories = ["nowhere"]\ntimezone = "UTC',
            "there is no repository “nowhere”",
        ),
        ("file:/etc", "file:etc", "absolute path"),
        ("user=pitstop", 'user=pitstop"\nmax_rate_kib = -1\ntimezone = "UTC', "clusters.slips.max_rate_kib: "),
        (
            "user=pitstop",
            'user=pitstop"\nmax_rate_kib = 31\ntimezone = "UTC',
            "or at least 32, which is PostgreSQL's least",
        ),
        ("user=pitstop", 'user=pitstop"\nworkers = 65\ntimezone = "UTC', "clusters.slips.workers: "),
        ("user=pitstop", 'user=pitstop"\nschedule = { base_backup = "at night" }\ntimezone = "UTC', "base_backup"),
    ],
)
def test_what_is_refused(tmp_path: Path, old: str, new: str, needle: str) -> None:
    """Names that are no names, half a pair of DSNs, repositories and keys that are not there: each says what to write."""
    assert needle in refused(tmp_path, MINIMAL.replace(old, new)).message


def test_relative_paths_are_seen_from_the_file(tmp_path: Path) -> None:
    """Jobs start in `/`, so a relative path means the configuration's own folder."""
    config = read(tmp_path, 'ledger = "state/ledger.db"\n' + MINIMAL)
    assert config.ledger == tmp_path.resolve() / "state" / "ledger.db"
    assert config.runs_directory == tmp_path.resolve() / "state" / "runs"


def test_the_policy_version_changes_with_who_may_do_what(tmp_path: Path) -> None:
    """Anything that decides about approval changes the version that plans are bound to; a schedule does not."""
    base = read(tmp_path, MINIMAL).cluster("slips").policy.version
    changed = {
        read(tmp_path, MINIMAL + f"[clusters.slips.{line}\n").cluster("slips").policy.version
        for line in (
            'approval]\napprovers = ["U0DBA"]',
            'approval]\nrequesters = ["everyone"]',
            "approval]\nquorum = 2",
            "approval]\ncli_beside_quorum = 1",
            'approval]\nexpires = "5m"',
        )
    }
    assert len(changed | {base}) == 6
    same = read(tmp_path, MINIMAL + '[clusters.slips.schedule]\nbase_backup = "off"\n')
    assert same.cluster("slips").policy.version == base


def test_one_person_with_two_names(tmp_path: Path) -> None:
    """`[people]` gives a login its Slack account; others have none."""
    config = read(tmp_path, MINIMAL + '[people]\nalice = "U024BE7LH"\n')
    assert config.slack_identity(Person("host", "alice")) == "U024BE7LH"
    assert config.slack_identity(Person("host", "bob")) is None
    assert config.slack_identity(Person("T0", "U1")) == "U1"


@pytest.mark.parametrize(
    ("written", "seconds"), [("30s", 30), ("10m", 600), ("1h30m", 5400), ("7d", 604800), ("0.5s", 0.5), (90, 90)]
)
def test_durations(written: object, seconds: float) -> None:
    """As people write them, and plain seconds."""
    assert parse_duration(written) == timedelta(seconds=seconds)


@pytest.mark.parametrize("written", ["", "soon", "10", "10 parsecs", "-5m"])
def test_durations_that_are_none(written: str) -> None:
    """Anything else is refused rather than guessed."""
    with pytest.raises(ValueError, match="duration"):
        parse_duration(written)


def test_tokens_come_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment wins, a file is read without its line end, and one that cannot be read is a sentence."""
    (tmp_path / "token").write_text("xoxb-from-the-file\n")
    text = MINIMAL + (
        '[slack]\nchannels = { results = "#a", alerts = "#b", approvals = "#c" }\n'
        'bot_token_file = "token"\napp_token_file = "nowhere"\n'
    )
    slack = read(tmp_path, text).slack
    assert slack is not None
    monkeypatch.delenv("SLACK_BOT_TOKEN", raising=False)
    monkeypatch.delenv("SLACK_APP_TOKEN", raising=False)
    assert slack.bot_token == "xoxb-from-the-file"
    with pytest.raises(Usage, match="nowhere"):
        _ = slack.app_token
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-from-the-environment")
    assert slack.bot_token == "xoxb-from-the-environment"


@pytest.mark.parametrize("user", ["alice", "@U024BE7LH", "u024be7lh", "S0615G0KT", "U024BE7LH ", ""])
def test_a_login_is_linked_to_a_user_id_or_not_at_all(tmp_path: Path, user: str) -> None:
    """A link that could never match would let somebody approve their own request under their other name, so it is refused."""
    error = refused(tmp_path, f'{MINIMAL}\n[people]\nalice = "{user}"\n')
    assert "people: alice: " in str(error)
    assert "U024BE7LH" in str(error)
    assert read(tmp_path, f'{MINIMAL}\n[people]\nalice = "U024BE7LH"\n').people == {"alice": "U024BE7LH"}


@pytest.mark.parametrize("url", ["http://slack.com/api/", "ftp://x/", "slack.com/api", "http://127.0.0.1.evil.test/"])
def test_tokens_are_not_sent_in_the_clear(tmp_path: Path, url: str) -> None:
    """Slack's address is https; plain http is for a stand-in on this machine."""
    channels = '[slack]\nchannels = { results = "#a", alerts = "#b", approvals = "#c" }\n'
    error = refused(tmp_path, f'{MINIMAL}\n{channels}api_url = "{url}"\n')
    assert "slack.api_url" in str(error)
    assert read(tmp_path, f'{MINIMAL}\n{channels}api_url = "http://127.0.0.1:4000/api/"\n').slack


def test_one_place_twice(tmp_path: Path) -> None:
    """Two names for one place are no two repositories of a cluster; folders are read before clouds, in the file's order."""
    repositories = """
        [repositories.cloud]
        url = "s3://backups/prod"
        [repositories.one]
        url = "file:///srv/one"
        [repositories.two]
        url = "file:///srv/one/"
        [encryption]
        key = "file:/key"
        [clusters.slips]
        dsn = "host=x"
    """
    assert "one and two are the same place" in refused(tmp_path, repositories).message
    path = tmp_path / "pitstop.toml"
    path.write_text(textwrap.dedent(repositories).replace("/srv/one/", "/srv/two"), "utf-8")
    config, _ = load(path)
    assert list(config.cluster_repositories("slips")) == ["cloud", "one", "two"]
    assert list(config.nearest_repositories("slips")) == ["one", "two", "cloud"]
