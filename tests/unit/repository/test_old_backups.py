"""Files of older scripts, made here with the real openssl and gzip: read whole, and refused with the reason."""

from __future__ import annotations

import gzip
import os
import subprocess
from pathlib import Path

import pytest

from bot.errors import Corruption, PitstopError, Usage
from bot.repository.old_backups import open_old, read_passphrase

DUMP = b"PGDMP\x01\x10\x00" + os.urandom(3 * 1024 * 1024) + bytes(100_000)
PASSPHRASE = "correct horse  battery: staple \u00e9"


def encrypted(folder: Path, content: bytes, passphrase: str = PASSPHRASE) -> bytes:
    """Encrypt as the script did."""
    secret, plain, out = folder / "secret", folder / "plain", folder / "out"
    secret.write_text(f"{passphrase}\nsecond line\n")
    plain.write_bytes(content)
    argv: list[str | Path] = [
        "openssl",
        "enc",
        "-aes-256-cbc",
        "-salt",
        "-pbkdf2",
        "-in",
        plain,
        "-out",
        out,
        "-pass",
        f"file:{secret}",
    ]
    subprocess.run(argv, check=True, capture_output=True)
    return out.read_bytes()


def gzipped(folder: Path, content: bytes) -> bytes:
    """Compress with the real gzip."""
    return subprocess.run(["gzip", "-c"], input=content, check=True, capture_output=True, cwd=folder).stdout


def read(folder: Path, content: bytes, passphrase: bytes | None = PASSPHRASE.encode()) -> bytes:
    """Put `content` into a file and read it as an old backup."""
    path = folder / "shop_full_20260101_020000.backup.gz.enc"
    path.write_bytes(content)
    return b"".join(open_old(path, passphrase))


def test_every_layer_may_be_there_or_not(tmp_path: Path) -> None:
    """Encrypted or not, zipped once, twice or not at all, in one member or several: the dump comes out the same."""
    zipped = gzipped(tmp_path, DUMP)
    for content in (
        encrypted(tmp_path, zipped),
        encrypted(tmp_path, DUMP),
        encrypted(tmp_path, gzipped(tmp_path, zipped)),
        zipped,
        gzip.compress(DUMP[:1000]) + gzip.compress(DUMP[1000:]),
        DUMP,
    ):
        assert read(tmp_path, content) == DUMP


@pytest.mark.parametrize("size", [0, 1, 8, 15, 16, 17, 1024 * 1024 - 16, 1024 * 1024, 1024 * 1024 + 1])
def test_every_length_of_padding(tmp_path: Path, size: int) -> None:
    """Around the cipher's blocks and ours nothing is lost or added."""
    dump = b"PGDMP\x01\x10\x00\x04\x08\x01\x00" + bytes(size)
    assert read(tmp_path, encrypted(tmp_path, dump)) == dump


def test_the_passphrase_is_the_first_line(tmp_path: Path) -> None:
    """As openssl reads it: without its line end, with all its blanks; what cannot be read or is empty is said."""
    path = tmp_path / "secret"
    path.write_bytes(b" two  words \nmore")
    assert read_passphrase(path) == b" two  words "
    path.write_bytes(b"\nmore")
    with pytest.raises(Usage, match="is empty"):
        read_passphrase(path)
    with pytest.raises(Usage, match="cannot be read"):
        read_passphrase(tmp_path / "missing")


def test_a_wrong_passphrase_is_told_from_damage(tmp_path: Path) -> None:
    """Another passphrase, none at all, and an empty one: each a sentence with what to do."""
    content = encrypted(tmp_path, gzipped(tmp_path, DUMP))
    with pytest.raises(Usage) as wrong:
        read(tmp_path, content, b"another")
    assert (wrong.value.reason_code, "passphrase is not the one" in wrong.value.message) == ("wrong-passphrase", True)
    with pytest.raises(Usage) as missing:
        read(tmp_path, content, None)
    assert missing.value.reason_code == "no-passphrase"
    assert "passphrase_file" in missing.value.hint


def test_damage_is_found_and_named(tmp_path: Path) -> None:
    """Cut at any place, a flipped bit, a tail of something else, another format, an empty file: never read as whole."""
    zipped = gzipped(tmp_path, DUMP)
    content = encrypted(tmp_path, zipped)
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    cases: list[tuple[bytes, str]] = [
        *((content[:size], "cut") for size in (10, 16, 20, 1000, len(content) // 2, len(content) - 1)),
        (content[:-16], "bad decrypt"),
        (bytes(flipped), "damaged"),
        (zipped[: len(zipped) // 2], "cut"),
        (zipped[:-4] + b"\0\0\0\1", "damaged"),
        (zipped + b"something else", "damaged"),
        (b"", "custom format"),
        (b"anything else", "custom format"),
        (gzipped(tmp_path, b"PK anything else"), "custom format"),
    ]
    for damaged, said in cases:
        with pytest.raises(PitstopError) as error:
            read(tmp_path, damaged)
        assert isinstance(error.value, Corruption | Usage), error.value
        assert said in error.value.message or "passphrase" in error.value.message, (len(damaged), error.value.message)
        assert error.value.hint


@pytest.mark.parametrize(
    "sql", [b"--\n-- PostgreSQL database dump\n--\n", b"SET statement_timeout = 0;\n", b"\\restrict x1\n"]
)
def test_plain_sql_is_no_damage_and_goes_to_psql(tmp_path: Path, sql: bytes) -> None:
    """In whatever layers it lies it is whole: the hint is how to restore it, and not to look for another copy."""
    for content in (sql, gzipped(tmp_path, sql), encrypted(tmp_path, gzipped(tmp_path, sql)), encrypted(tmp_path, sql)):
        with pytest.raises(Usage, match="plain SQL") as error:
            read(tmp_path, content)
        assert (error.value.reason_code, "psql -d NAME" in error.value.hint) == ("plain-sql", True)
