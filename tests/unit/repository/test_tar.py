"""The tar reader finds the same members as Python's tarfile, however the bytes arrive."""

from __future__ import annotations

import contextlib
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.repository import index
from bot.repository.damage import ObjectDamaged
from bot.repository.tar import Member, TarError, TarReader
from tests.unit.repository.sample import link_to, tar_of

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
part = st.text("abcdefgh_.0123456789", min_size=1, max_size=12).filter(lambda text: text.strip(".") != "")
names = st.lists(part, min_size=1, max_size=12).map("/".join)
entries = st.dictionaries(names, st.one_of(st.none(), st.binary(max_size=1500)), max_size=8)


def read(data: bytes, step: int = 1 << 20) -> list[Member]:
    """Read a tar given in parts of `step` bytes."""
    reader, found = TarReader(), []
    for start in range(0, len(data), step):
        found += reader.feed(data[start : start + step])
    reader.end()
    return found


@given(members=entries, dialect=st.sampled_from(FORMATS), step=st.integers(1, 3000))
def test_agrees_with_tarfile(members: dict[str, bytes | None], dialect: int, step: int) -> None:
    """Names, kinds, sizes and positions are tarfile's for ustar, GNU and pax archives, whatever the parts."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=dialect) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name if content is not None else f"{name}/")
            info.type = tarfile.REGTYPE if content is not None else tarfile.DIRTYPE
            info.size = len(content or b"")
            try:
                tar.addfile(info, io.BytesIO(content or b""))
            except ValueError:  # ustar has no room for this name
                return
    data = out.getvalue()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        wanted = [(i.name, i.isdir(), i.offset_data, i.size) for i in tar.getmembers()]
    assert [(m.name, m.kind == "dir", m.offset, m.size) for m in read(data, step)] == wanted
    for member in read(data, step):
        assert data[member.offset : member.offset + member.size] == (members[member.name] or b"")


def test_fields() -> None:
    """Mode, owner, time and link target are those of the header."""
    found = read(tar_of([("PG_VERSION", b"15\n"), ("base", None), link_to("pg_tblspc/16394", "/srv/fast")]))
    assert found[0] == Member("PG_VERSION", "file", 512, 3, 0o600, 70, 71, 1_700_000_000)
    assert (found[1].kind, found[1].mode) == ("dir", 0o700)
    assert (found[2].kind, found[2].link) == ("link", "/srv/fast")


def test_sizes_beyond_octal() -> None:
    """A file of 8 GiB and more has its size in base 256."""
    info = tarfile.TarInfo("base/5/16385")
    info.size = 9 * 1024**3
    (member,) = TarReader().feed(info.tobuf(tarfile.GNU_FORMAT))
    assert member.size == info.size


def test_an_archive_without_an_end_is_whole() -> None:
    """PostgreSQL 14 sends tars without the two closing blocks."""
    assert len(read(tar_of([("a", b"x")], end=False))) == 1


@pytest.mark.parametrize("cut", [1, 511, 513, 1023])
def test_an_archive_cut_off_is_refused(cut: int) -> None:
    """An archive that ends within a header or a member is an error."""
    reader = TarReader()
    reader.feed(tar_of([("a", b"x" * 600)], end=False)[:-cut])
    with pytest.raises(TarError):
        reader.end()


def test_a_damaged_header_is_refused() -> None:
    """A header whose checksum is wrong, or anything after the end, is an error that says where."""
    data = bytearray(tar_of([("a", b"x")]))
    data[3] ^= 1
    with pytest.raises(TarError, match="byte 0"):
        TarReader().feed(data)
    with pytest.raises(TarError, match="after the end"):
        TarReader().feed(tar_of([]) + tar_of([("a", b"x")]))


@given(data=st.binary(max_size=2000))
def test_anything_else_is_an_error_and_nothing_worse(data: bytes) -> None:
    """Arbitrary bytes are read as a tar or refused with TarError, never otherwise."""
    with contextlib.suppress(TarError):
        read(data, 300)


def test_index_lines_come_back() -> None:
    """The index gives back the same members, names outside UTF-8 included; one that overlaps is damage."""
    strange = Member('caf\udce9/\n"x', "file", 512, 10, 0o600, 1, 2, 3)
    lines = b"".join(map(index.line, [strange, Member("b", "dir", 1536, 0, 0o700, 0, 0, 0)]))
    blocks = [lines[i : i + 7] for i in range(0, len(lines), 7)]
    assert next(iter(index.members(blocks, "x"))) == strange
    with pytest.raises(ObjectDamaged, match="overlap"):
        list(index.members([index.line(strange) * 2], "x"))


def test_names_are_relative_to_the_data_directory() -> None:
    """The server's own `./pg_wal/archive_status` is read like every other name; only that one prefix is taken off."""
    data = tar_of([("./pg_wal", None), ("./pg_wal/archive_status", None), (".//etc", None), ("././x", b"x")])
    assert [member.name for member in read(data)] == ["pg_wal", "pg_wal/archive_status", "/etc", "./x"]
