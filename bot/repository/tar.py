"""Read tar headers as the bytes pass by: which member is where, without keeping any content. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BLOCK_BYTES = 512
_LONG_BYTES_MAX = 1024 * 1024
Kind = Literal["file", "dir", "link", "hard", "other"]
_KINDS: dict[bytes, Kind] = {b"0": "file", b"\0": "file", b"7": "file", b"5": "dir", b"2": "link", b"1": "hard"}


class TarError(ValueError):
    """The bytes are not a tar as PostgreSQL writes it; says at which offset."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member: content bytes [offset, offset+size) of the archive; `mode` has permission bits only, `mtime` is Unix seconds.

    `name` and `link` are as in the archive (bytes outside UTF-8 as surrogates); folders end without a slash, and a leading
    `./` is left out: servers send `./pg_wal/archive_status` (src/backend/backup/basebackup.c).
    """

    name: str
    kind: Kind
    offset: int
    size: int
    mode: int
    uid: int
    gid: int
    mtime: int
    link: str = ""


class TarReader:
    """Finds the members of one tar given in parts of any length: ustar, GNU long names, pax headers; no sparse files.

    PostgreSQL writes ustar (src/port/tar.c); an archive without the two closing blocks, as 14 sends it, is complete.
    """

    def __init__(self) -> None:
        self._offset = 0
        self._skip = 0
        self._block = bytearray()
        self._long = bytearray()
        self._long_kind = b""
        self._long_left = 0
        self._next: dict[str, str] = {}
        self._ended = False

    def feed(self, data: bytes | bytearray | memoryview) -> list[Member]:
        """Take the next bytes; return the members whose headers ended in them.

        Raises:
            TarError: a header's checksum is wrong, or it is of a kind that PostgreSQL never writes.
        """
        view, found = memoryview(data), []
        while view:
            if self._skip:
                step = min(self._skip, len(view))
                self._skip -= step
            else:
                step = min(BLOCK_BYTES - len(self._block), len(view))
                self._block += view[:step]
            self._offset += step
            view = view[step:]
            if len(self._block) == BLOCK_BYTES:
                block = bytes(self._block)
                self._block.clear()
                if self._long_left:
                    self._long_block(block)
                elif member := self._header(block):
                    found.append(member)
        return found

    def end(self) -> None:
        """Say that the archive is over.

        Raises:
            TarError: it ended within a header or a member.
        """
        if self._skip or self._block or self._long_left or self._next:
            raise TarError(f"the archive ends within a member, at byte {self._offset}")

    def _header(self, block: bytes) -> Member | None:
        if block == bytes(BLOCK_BYTES):
            self._ended = True
            return None
        start = self._offset - BLOCK_BYTES
        if self._ended:
            raise TarError(f"there is something after the end of the archive, at byte {start}")
        if _checksum(block) != _number(block[148:156], start):
            raise TarError(f"the header at byte {start} has a wrong checksum")
        kind, size = block[156:157], _number(block[124:136], start)
        if kind in b"LKxg":
            if not 0 < size <= _LONG_BYTES_MAX:
                raise TarError(f"the long header at byte {start} has {size} bytes")
            self._long_kind, self._long_left = kind, size
            return None
        return self._member(block, kind, size)

    def _member(self, block: bytes, kind: bytes, size: int) -> Member:
        start = self._offset - BLOCK_BYTES
        extra, self._next = self._next, {}
        if any(name.startswith("GNU.sparse") for name in extra) or kind == b"S":
            raise TarError(f"the member at byte {start} is sparse")
        known = _KINDS.get(kind, "other")
        size = int(extra.get("size", size)) if known == "file" else 0
        self._skip = -(-size // BLOCK_BYTES) * BLOCK_BYTES
        return Member(
            name=extra.get("path", _name(block)).rstrip("/").removeprefix("./"),
            kind=known,
            offset=self._offset,
            size=size,
            mode=_number(block[100:108], start) & 0o7777,
            uid=int(extra.get("uid", _number(block[108:116], start))),
            gid=int(extra.get("gid", _number(block[116:124], start))),
            mtime=int(float(extra.get("mtime", _number(block[136:148], start)))),
            link=extra.get("linkpath", _text(block[157:257])),
        )

    def _long_block(self, block: bytes) -> None:
        """Collect the content of a GNU long name or pax header, which speaks of the next member."""
        taken = min(self._long_left, BLOCK_BYTES)
        self._long += block[:taken]
        self._long_left -= taken
        if self._long_left:
            return
        content = bytes(self._long)
        self._long.clear()
        if self._long_kind == b"x":
            self._next.update(_pax(content, self._offset))
        elif self._long_kind in b"LK":
            self._next["path" if self._long_kind == b"L" else "linkpath"] = _text(content)


def _checksum(block: bytes) -> int:
    return sum(block) - sum(block[148:156]) + 8 * 0x20


def _number(field: bytes, start: int) -> int:
    """Read octal digits, or GNU's base 256 for what does not fit (files of 8 GiB and more)."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    text = field.split(b"\0")[0].strip()
    try:
        return int(text, 8) if text else 0
    except ValueError:
        raise TarError(f"the header at byte {start} holds a number that cannot be read") from None


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "surrogateescape")


def _name(block: bytes) -> str:
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    name = _text(block[:100])
    return f"{prefix}/{name}" if prefix else name


def _pax(content: bytes, offset: int) -> dict[str, str]:
    """Read `length key=value\\n` records."""
    records = {}
    while content:
        head, _, _ = content.partition(b" ")
        length = int(head) if head.isdigit() else 0
        record = content[len(head) + 1 : length - 1]
        if not len(head) < length <= len(content) or b"=" not in record:
            raise TarError(f"the pax header that ends at byte {offset} cannot be read")
        key, _, value = record.partition(b"=")
        records[key.decode()] = value.decode("utf-8", "surrogateescape")
        content = content[length:]
    return records
