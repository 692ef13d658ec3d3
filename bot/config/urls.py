"""The URL of a repository: which place it names, and what is wrong with one that names none. Pure."""

from __future__ import annotations

import re
from urllib.parse import unquote

from bot.model.typed import quoted

_EXAMPLES = {
    "file": "file:///var/backups/pitstop",
    "s3": "s3://bucket/prefix",
    "azure": "azure://account/container/prefix",
}
_ANY = f"{_EXAMPLES['file']}, {_EXAMPLES['s3']} or {_EXAMPLES['azure']}"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER = re.compile(r"[a-z0-9](?:[a-z0-9]|-(?=[a-z0-9])){2,62}")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


def place_of(url: str) -> tuple[str, ...]:
    """Return what a URL names: (folder,), (bucket, prefix) or (account, container, prefix); the prefix may be empty.

    Raises:
        ValueError: it names no place; which part of it is wrong, and how that is written.
    """
    scheme, separator, rest = url.partition("://")
    if scheme == "file" or url.startswith("file:"):
        return (_folder(url),)
    if not separator:
        raise ValueError(f"it has no scheme; write {_ANY}")
    if scheme not in _EXAMPLES:
        small = f"; write {scheme.lower()}:// in small letters" if scheme.lower() in _EXAMPLES else f"; write {_ANY}"
        raise ValueError(f"the scheme {quoted(scheme)} is none of file, s3 and azure{small}")
    if "@" in rest:
        raise ValueError("a user, a password or a key has no place in it; credentials come from the environment")
    if scheme == "s3":
        bucket, _, path = rest.partition("/")
        return _bucket(bucket), _prefix(path, scheme)
    account, _, rest = rest.partition("/")
    container, _, path = rest.partition("/")
    return _account(account), _container(container), _prefix(path, scheme)


def _folder(url: str) -> str:
    if not url.startswith("file:///"):
        raise ValueError(f"a folder of this host has three slashes before it: {_EXAMPLES['file']}")
    path = unquote(url.removeprefix("file://"))
    if not path.strip("/"):
        raise ValueError(f"it names no folder; write its whole path, {_EXAMPLES['file']}")
    if ".." in path.split("/"):
        raise ValueError("the path of the folder goes up with ..; write the whole path as it is")
    if not path.isprintable():
        raise ValueError("the path of the folder has invisible characters")
    return path


def _bucket(name: str) -> str:
    if not name:
        raise ValueError(f"it names no bucket; write {_EXAMPLES['s3']}")
    if not _BUCKET.fullmatch(name):
        raise ValueError(
            f"{quoted(name)} is no bucket's name: that has 3 to 63 small letters, digits, `.` and `-`, and begins and ends with "
            "a letter or a digit"
        )
    return name


def _account(name: str) -> str:
    if not name:
        raise ValueError(f"it names no storage account; write {_EXAMPLES['azure']}")
    if not _ACCOUNT.fullmatch(name):
        alone = f"; write {name.partition('.')[0]} alone, the host belongs to endpoint_url" if "." in name else ""
        raise ValueError(
            f"{quoted(name)} is no storage account's name: that has 3 to 24 small letters and digits{alone}"
        )
    return name


def _container(name: str) -> str:
    if not name:
        raise ValueError(f"it names no container; write {_EXAMPLES['azure']}")
    if not _CONTAINER.fullmatch(name):
        raise ValueError(
            f"{quoted(name)} is no container's name: that has 3 to 63 small letters, digits and single `-`, and begins and ends "
            "with a letter or a digit"
        )
    return name


def _prefix(path: str, scheme: str) -> str:
    *parts, last = path.split("/")
    parts += [last] if last else []  # one slash at the end says nothing
    for part in parts:
        if not part:
            raise ValueError(f"its prefix has two slashes in a row; write {_EXAMPLES[scheme]}")
        if not _PART.fullmatch(part):
            raise ValueError(
                f"{quoted(part)} cannot be part of a prefix: that is made of letters, digits, `_`, `.` and `-`, and begins with "
                "none of `.` and `-`"
            )
    return "/".join(parts)
