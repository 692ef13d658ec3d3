"""The runbook of a cluster: how it is restored, with the bot and without it, in its own names, paths and ids. No secrets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from shlex import quote
from typing import Any

from bot.model.wal import Lsn
from bot.model.window import TimeRange, merged

SETTINGS = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)
"""What recovery refuses to do with less of than the source had."""
_MAX_RANGES = 3


@dataclass(frozen=True, slots=True)
class BaseFacts:
    """The newest base backup, as far as a restore by hand needs to know it; `tablespaces` are OIDs as text."""

    id: str
    system_id: str
    timeline: int
    start_lsn: str
    segment_bytes: int
    major: int
    superuser: str
    settings: dict[str, str]
    tablespaces: tuple[str, ...]

    @property
    def first_segment(self) -> str:
        """The part of a segment's name behind its timeline, of the first segment that the backup needs."""
        per_log = (1 << 32) // self.segment_bytes
        number = int(Lsn.parse(self.start_lsn)) // self.segment_bytes
        return f"{number // per_log:08X}{number % per_log:08X}"

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> BaseFacts:
        """Read what `dataclasses.asdict` made."""
        return cls(**{**data, "tablespaces": tuple(data["tablespaces"])})


@dataclass(frozen=True, slots=True)
class RepositoryFacts:
    """A place backups are: its name, its URL, and the folder where it is on this host (None for a cloud)."""

    name: str
    url: str
    folder: str | None
    fetch: str


@dataclass(frozen=True, slots=True)
class Runbook:
    """Everything a runbook says. Texts are ready to be shown; `schedule` and `objectives` are (what, when) pairs.

    `verified` is the newest backup that a drill restored, `dump` the newest dump with the databases in it. `keys` are those under
    [encryption], any of which opens everything; `key_file` the first that is a file of that host, with a key or a passphrase.
    """

    cluster: str
    place: str
    data_directory: str | None
    timezone: str
    databases: tuple[str, ...]
    repositories: tuple[RepositoryFacts, ...]
    keys: tuple[str, ...]
    key_file: str | None
    base: BaseFacts | None
    dump: str | None
    dumped: tuple[str, ...]
    verified: str | None
    how_far_back: str
    schedule: tuple[tuple[str, str], ...]
    objectives: tuple[tuple[str, str], ...]
    approvers: tuple[str, ...]
    contacts: tuple[tuple[str, str], ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    health: str | None
    work: str
    bin_dir: str
    account: str
    script: str


def how_far_back(ranges: Iterable[TimeRange], *, based: bool, dumped: bool, streamed: bool) -> str:
    """Say which times the cluster can be taken back to; the end of the newest range moves, and is left out. Pure.

    `based` and `dumped`: there is a sound base backup, a sound dump. `streamed`: WAL was ever received.
    """
    if found := merged(ranges):
        *older, newest = [(_utc(one.start), _utc(one.end)) for one in found]
        parts = [f"{start} to {end}" for start, end in older[-_MAX_RANGES:]]
        before = f"; before that from {', from '.join(parts)}" if parts else ""
        return f"any time since {newest[0]}{before}{', and earlier' * (len(older) > _MAX_RANGES)}"
    if based:
        why = "what WAL adds is not worked out yet" if streamed else "WAL has not been streamed"
        return f"to the end of a base backup; {why}"
    return f"{'to a dump' if dumped else 'nothing yet'}; there is no base backup"


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def render(book: Runbook) -> str:
    """Return the runbook as Markdown; the same facts make the same text."""
    parts = [
        f"# Runbook: restoring {book.cluster}",
        "Written by Pitstop, and anew whenever something in it changes. It holds no secret.",
        *_at_a_glance(book),
        *_with_the_bot(book),
        *_without_the_bot(book),
        *_afterwards(book),
    ]
    return "\n\n".join(parts) + "\n"


def _at_a_glance(book: Runbook) -> list[str]:
    rows = [
        ("server", f"{book.place}, data directory {book.data_directory or 'not configured'}"),
        ("databases", ", ".join(book.databases) or "all"),
        ("repositories", "; ".join(f"{one.name}: {one.url}" for one in book.repositories)),
        ("key", f"{' or '.join(book.keys)} (kept apart from the repositories; without it nothing opens)"),
        ("newest base backup", book.base.id if book.base else "none yet"),
        ("newest dump", book.dump or "none yet"),
        ("newest verified by a drill", book.verified or "none yet"),
        ("how far back", book.how_far_back),
        *((f"{job}, {book.timezone}", cron) for job, cron in book.schedule),
        *book.objectives,
        ("may approve", ", ".join(book.approvers) or "nobody: configure approvers"),
    ]
    contacts = [f"- {_cell(name)}: {_cell(how)}" for name, how in book.contacts]
    return [
        "## At a glance",
        "\n".join(["| what | value |", "|---|---|", *(f"| {_cell(a)} | {_cell(b)} |" for a, b in rows)]),
        "## Whom to call",
        "\n".join(contacts) or f"Nobody is named: set `clusters.{book.cluster}.contacts`.",
    ]


def _with_the_bot(book: Runbook) -> list[str]:
    cluster, database = book.cluster, (book.databases or ("DATABASE",))[0]
    slack = [
        (
            f"1. `/pitr {cluster} before 14:30 reason: WHY` brings the whole cluster back beside the live one, as it was then;"
            f" `/restore {cluster} latest into NEWNAME database {database} reason: WHY` brings a database back out of a dump."
        ),
        "2. The plan comes as a direct message. Read it, confirm it.",
        "3. Somebody else approves it in the approvals channel.",
        "4. The thread shows each step, and in the end where the data is.",
    ]
    host = [
        f"pitstop list {quote(cluster)}",
        f"pitstop pitr {quote(cluster)} --to 'before 14:30' --reason 'WHY'",
        f"pitstop restore {quote(cluster)} latest --into-database NEWNAME --reason 'WHY'",
    ]
    return [
        "## With the bot, in Slack",
        "\n".join(slack),
        "## With the bot, on its host",
        _code("", host),
        "The bot need not run: the command does the work itself.",
    ]


def _without_the_bot(book: Runbook) -> list[str]:
    if book.base is None:
        return ["## Without the bot", "There is no base backup yet, so there is nothing to restore by hand."]
    base = book.base
    where = book.repositories[0]
    folder = where.folder or f"{book.work}/repository"
    return [
        "## Without the bot",
        (
            f"Needed: bash, Python 3.11 with `cryptography` and `zstandard`, PostgreSQL {base.major}, the key and `{book.script}`,"
            " which lies beside this page. Run the steps one after the other in one shell, as root. They write below"
            f" `{book.work}` alone and start a server there that nobody else reaches; the live server is not touched."
        ),
        "### 1. Names",
        _code(
            "bash",
            [
                "set -euo pipefail",
                f"REPOSITORY={quote(folder)}",
                f"KEY={quote(book.key_file or f'{book.work}/data-keys')}",
                f"WORK={quote(book.work)}",
                f"BIN={quote(book.bin_dir)}",
                f"ACCOUNT={quote(book.account)}",
                f"CLUSTER={quote(f'{book.cluster}/{base.system_id}')}",
                f"BACKUP={quote(base.id)}",
                'mkdir -p "$WORK"',
                *([] if where.folder else [where.fetch]),
                *([] if book.key_file else DATA_KEYS_BY_HAND),
                f'DECRYPT="$REPOSITORY"/{quote(f"{book.cluster}/runbook/{book.script}")}',
                'decrypt() { python3 "$DECRYPT" "$KEY" "$REPOSITORY" "$@"; }',
            ],
        ),
        "### 2. The base backup",
        _code("bash", _unpack(base)),
        "### 3. The WAL after it",
        "Each segment is decrypted into one folder; an unfinished one is put together from its pieces and filled up with zeros.",
        _code("bash", _wal(base)),
        "### 4. Recovery",
        (
            "As it stands this replays everything there is. To stop before that, uncomment the target; PostgreSQL reads these"
            " settings from its configuration, `recovery.signal` stays empty."
        ),
        _code("bash", _recover(base)),
        "### 5. Look",
        _code(
            "bash",
            [
                f'look() {{ runuser -u "$ACCOUNT" -- "$BIN"/psql -X -h "$WORK"/run -U {quote(base.superuser)} "$@"; }}',
                'look -d postgres -c "SELECT pg_is_in_recovery(), pg_last_xact_replay_timestamp()"',
                "look -d postgres -l",
            ],
        ),
        *_dump_by_hand(book),
        "### In the end",
        _code(
            "bash",
            ['runuser -u "$ACCOUNT" -- "$BIN"/pg_ctl -D "$WORK"/data -m fast stop   # when done', 'rm -rf "$WORK"'],
        ),
    ]


DATA_KEYS_BY_HAND = [
    "# No key is in a file: the services open the data keys themselves. For AWS KMS, as somebody who may decrypt:",
    'for form in "$REPOSITORY"/keys/*/*; do',
    '  grep -q \'"kind":"aws-kms"\' "$form" || continue',
    '  field() { python3 -c \'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])\' "$form" "$1"; }',
    '  field wrapped | base64 -d > "$WORK"/wrapped',
    '  data_key=$(aws kms decrypt --key-id "$(field name)" --ciphertext-blob fileb://"$WORK"/wrapped --output text \\',
    '    --query Plaintext --region "$(field name | cut -d: -f4)" --encryption-context \\',
    '    "pitstop:by=$(field by),pitstop:format=1,pitstop:key=$(field key),pitstop:kind=aws-kms") || continue',
    '  (umask 077; echo "$(field key) $data_key" >> "$KEY")',
    "done  # Azure Key Vault: decrypt.py says at its top what each line holds",
]


def _unpack(base: BaseFacts) -> list[str]:
    spaces = []
    if base.tablespaces:
        spaces.append(': > "$WORK"/data/tablespace_map')
    for oid in base.tablespaces:
        spaces += [
            f'mkdir -m 700 "$WORK"/{oid} && tar -xpf "$WORK"/out/{oid}.tar -C "$WORK"/{oid}',
            f'rm -f "$WORK"/data/pg_tblspc/{oid} && ln -s "$WORK"/{oid} "$WORK"/data/pg_tblspc/{oid}',
            f'echo "{oid} $WORK/{oid}" >> "$WORK"/data/tablespace_map',
        ]
    return [
        'decrypt extract "$CLUSTER/backups/$BACKUP" "$WORK"/out',
        'mkdir -m 700 "$WORK"/data && tar -xpf "$WORK"/out/base.tar -C "$WORK"/data',
        *spaces,
        ': > "$WORK"/data/postgresql.auto.conf   # what was set with ALTER SYSTEM is the live server\'s',
    ]


def _wal(base: BaseFacts) -> list[str]:
    return f"""mkdir -p "$WORK"/wal
cd "$REPOSITORY/$CLUSTER/wal"
for object in */*; do
  name=${{object##*/}}
  case "$name" in
    *.history) decrypt cat "$CLUSTER/wal/$object" > "$WORK/wal/$name"; continue ;;
    *.partial) ;;
    *) if [[ ! "${{name:8}}" < {base.first_segment} ]]; then decrypt cat "$CLUSTER/wal/$object" > "$WORK/wal/$name"; fi; continue ;;
  esac
  segment=${{name%.partial}}
  if [[ "${{segment:8}}" < {base.first_segment} || -e "$segment" || -e "$WORK/wal/$segment" ]]; then continue; fi
  for piece in "$object"/*; do
    offset=$(( 16#$(basename "$piece" | cut -d- -f1) ))
    decrypt cat "$CLUSTER/wal/$piece" | dd of="$WORK/wal/$segment" bs=1M oflag=seek_bytes seek=$offset conv=notrunc status=none
  done
  truncate -s {base.segment_bytes} "$WORK/wal/$segment"
done
cd /""".splitlines()


def _recover(base: BaseFacts) -> list[str]:
    settings = [f"{name} = {base.settings[name]}" for name in SETTINGS if name in base.settings]
    return [
        'mkdir -m 700 -p "$WORK"/run',
        'cat > "$WORK"/postgresql.conf <<END',
        'restore_command = \'cp "$WORK/wal/%f" "%p"\'',
        "#recovery_target_time = '2026-11-22 14:30:00+00'",
        "#recovery_target_inclusive = off",
        "recovery_target_timeline = 'latest'",
        "recovery_target_action = 'promote'",
        "hba_file = '$WORK/pg_hba.conf'",
        "listen_addresses = ''",
        "unix_socket_directories = '\"$WORK/run\"'",
        "archive_mode = off",
        *settings,
        "END",
        "echo 'local all all trust' > \"$WORK\"/pg_hba.conf",
        'touch "$WORK"/data/recovery.signal',
        'rm -f "$WORK"/data/postmaster.pid "$WORK"/data/standby.signal',
        'chown -R "$ACCOUNT" "$WORK"/data "$WORK"/wal "$WORK"/run "$WORK"/*.conf'
        + "".join(f' "$WORK"/{oid}' for oid in base.tablespaces),
        'touch "$WORK"/log && chown "$ACCOUNT" "$WORK"/log',
        (
            'runuser -u "$ACCOUNT" -- "$BIN"/pg_ctl -D "$WORK"/data -l "$WORK"/log -w -t 86400'
            " -o \"-c config_file='$WORK/postgresql.conf'\" start"
        ),
        (
            f'until [ "$(runuser -u "$ACCOUNT" -- "$BIN"/psql -XAtq -h "$WORK"/run -U {quote(base.superuser)} -d postgres'
            " -c 'SELECT pg_is_in_recovery()')\" = f ]; do sleep 1; done"
        ),
    ]


def _dump_by_hand(book: Runbook) -> list[str]:
    if book.dump is None or book.base is None:
        return []
    archives = ", ".join(f"`db-{number}` is {name}" for number, name in enumerate(book.dumped))
    return [
        "### A single database out of the dump",
        f"Into any server of PostgreSQL {book.base.major} or later; {archives}, `globals` holds the roles.",
        _code(
            "bash",
            [
                f'decrypt extract "$CLUSTER/backups/{book.dump}" "$WORK"/dump',
                'chmod 755 "$WORK" "$WORK"/dump && chmod 644 "$WORK"/dump/*',
                "look -d postgres -c 'CREATE DATABASE by_hand TEMPLATE template0'",
                (
                    'runuser -u "$ACCOUNT" -- "$BIN"/pg_restore --exit-on-error --no-owner --no-privileges'
                    f' -h "$WORK"/run -U {quote(book.base.superuser)} -d by_hand "$WORK"/dump/db-0'
                ),
            ],
        ),
    ]


def _afterwards(book: Runbook) -> list[str]:
    lines = [
        *(f"- before the restore: `{command}`" for command in book.before),
        *(f"- after the restore: `{command}`" for command in book.after),
        *([f"- the application is well when {book.health} answers"] if book.health else []),
        "- count rows and look at the newest records before anybody relies on the copy",
        f"- then make a new base backup: `pitstop backup base {book.cluster}`",
    ]
    return ["## Around it", "\n".join(lines)]


def _code(language: str, lines: Sequence[str]) -> str:
    return "\n".join([f"```{language}", *lines, "```"])


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
