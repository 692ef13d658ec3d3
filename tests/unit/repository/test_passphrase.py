"""The passphrase file: what one line is, what is refused, and that scrypt's price is paid and bounded."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from bot.errors import Conflict, Usage
from bot.repository.keys.passphrase import Costs, Passphrase, create_passphrase_file, parse_passphrase
from bot.repository.keys.ring import new_key_id

CHEAP = Costs(n=2**4, r=8, p=1)
WORDS = "correct horse battery staple"
DATA_KEY = bytes(range(32))


def test_a_new_passphrase(tmp_path: Path) -> None:
    """It is private, of 200 random bits in groups one can write down, is read back, and is never overwritten."""
    path = tmp_path / "passphrase"
    create_passphrase_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert re.fullmatch(r"([a-z2-7]{5}-){7}[a-z2-7]{5}\n", text)
    assert Passphrase(path).secret == text.strip().encode()
    with pytest.raises(Conflict) as caught:
        create_passphrase_file(path)
    assert caught.value.reason_code == "key-exists"
    assert path.read_text() == text
    other = tmp_path / "other"
    create_passphrase_file(other)
    assert other.read_text() != text


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_end_of_the_line_is_no_part_of_it(tmp_path: Path, end: str) -> None:
    """With, without, and with a foreign line end it is the same passphrase: what one file wrapped another opens."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(WORDS.encode())
    second.write_bytes((WORDS + end).encode())
    for path in (first, second):
        path.chmod(0o600)
    form = Passphrase(first, CHEAP).wrap(new_key_id(), DATA_KEY)
    assert Passphrase(second, CHEAP).recognises(form)
    assert Passphrase(second, CHEAP).unwrap(form) == DATA_KEY


@pytest.mark.parametrize(
    ("content", "needle"),
    [
        (f"{WORDS}\n\n", "more than one line"),
        (f"\n{WORDS}\n", "more than one line"),
        (f"# mine\n{WORDS}\n", "more than one line"),
        (f"{WORDS}\r", "more than one line"),
        (f" {WORDS}\n", "blanks before or after"),
        (f"{WORDS} \n", "blanks before or after"),
        (f"{WORDS}\t\n", "blanks before or after"),
        (f"{WORDS}\u00a0\n", "blanks before or after"),
        (f"{WORDS}\x00\n", "control characters"),
        (f"{WORDS}\x1b[0m x\n", "control characters"),
        ("elevenchars\n", "fewer than 12"),
        ("", "fewer than 12"),
    ],
)
def test_passphrases_that_are_refused(content: str, needle: str) -> None:
    """What two people might read differently is refused with a sentence that names the setting, never the passphrase."""
    with pytest.raises(Usage) as caught:
        parse_passphrase(content.encode(), Path("/etc/pitstop/passphrase"))
    error = caught.value
    assert error.reason_code == "passphrase-malformed"
    assert needle in error.message
    assert "passphrase:/etc/pitstop/passphrase in [encryption]" in error.message
    assert error.hint
    assert WORDS not in str(error)


def test_files_that_are_refused(tmp_path: Path) -> None:
    """Missing, readable by others, a folder, or not text: each with its own code."""
    path = tmp_path / "passphrase"

    def code() -> str:
        with pytest.raises(Usage) as caught:
            Passphrase(path).wrap(new_key_id(), DATA_KEY)
        assert str(path) in caught.value.message
        return caught.value.reason_code

    assert code() == "key-missing"
    path.write_text(WORDS)
    path.chmod(0o644)
    assert code() == "key-not-private"
    path.chmod(0o600)
    path.write_bytes(b"\xff" * 20)
    assert code() == "passphrase-malformed"
    path.unlink()
    path.mkdir()
    assert code() in {"key-malformed", "key-unreadable"}


def test_a_form_says_how_it_was_stretched(tmp_path: Path) -> None:
    """Costs and salt stand in the form, so that later defaults open it; dearer ones than a job can bear are not tried."""
    path = tmp_path / "passphrase"
    path.write_text(WORDS)
    path.chmod(0o600)
    ours = Passphrase(path, CHEAP)
    form = ours.wrap(new_key_id(), DATA_KEY)
    told = form.more["scrypt"]
    assert {name: told[name] for name in ("n", "r", "p")} == {"n": 16, "r": 8, "p": 1}
    assert len(bytes.fromhex(told["salt"])) == 16
    assert Passphrase(path).unwrap(form) == DATA_KEY
    assert Passphrase(path, CHEAP).wrap(new_key_id(), DATA_KEY).more["scrypt"]["salt"] != told["salt"]
    for n, r, p in ((2**20, 8, 1), (2**15, 64, 1), (2**15, 8, 1000), (0, 8, 1), (3, 8, 1), (16, 0, 1)):
        assert not Costs(n, r, p).bearable
        told.update(n=n, r=r, p=p)
        assert not ours.recognises(form)
        assert ours.unwrap(form) is None
    more: list[object] = [None, [], {"n": 16}, {"n": "x", "r": 8, "p": 1, "salt": "00"}, {**CHEAP_FIELDS, "salt": "zz"}]
    for broken in more:
        form.more["scrypt"] = broken  # type: ignore[index]
        assert not ours.recognises(form)


CHEAP_FIELDS = {"n": 16, "r": 8, "p": 1}
