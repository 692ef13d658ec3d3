"""Our own sessions in a copy: what its databases and roles set for every session must not steer or stop them."""

from __future__ import annotations

from collections.abc import Mapping

_ALWAYS = {
    "search_path": "pg_catalog",
    "role": "none",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "default_transaction_isolation": "read\\ committed",
    "password_encryption": "scram-sha-256",
}
_SINCE = {17: {"transaction_timeout": "0", "event_triggers": "off"}}


def session_options(major: int, **changes: str) -> str:
    """Return libpq's `options` for a session that obeys us; ALTER DATABASE and ALTER ROLE … SET come before it. Pure.

    `changes` replace single settings; an empty value leaves one to the copy.
    """
    chosen: Mapping[str, str] = {
        **_ALWAYS,
        **{name: value for since, more in _SINCE.items() if major >= since for name, value in more.items()},
        **changes,
    }
    return " ".join(f"-c {name}={value}" for name, value in chosen.items() if value)
