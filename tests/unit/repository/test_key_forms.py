"""Several keys at once: any form that opens is the key, whatever else is lost, damaged or away; and what it takes along."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.errors import Unavailable, Usage
from bot.repository.damage import ObjectDamaged
from bot.repository.keys import KeyWrapper
from bot.repository.keys.file import KeyFile, create_key_file
from bot.repository.keys.form import WrappedKey, bound_to
from bot.repository.keys.lost import KeyAway, KeyGone, KeyLost
from bot.repository.keys.passphrase import Costs, Passphrase, create_passphrase_file
from bot.repository.keys.ring import KeyRing, made_at, new_key_id
from bot.repository.keys.sealing import open_key, seal_key
from bot.repository.keys.survey import survey
from bot.repository.keys.uses import STEP, Uses, WalUse, runs, takes_along
from bot.repository.stores.files import FilesStore
from tests.unit.repository.sample import FIRST, NAME, SECOND, SYSTEM, open_sample, sample_cluster, write_backup

CHEAP = Costs(n=2**4, r=8, p=1)


@dataclass
class Service:
    """A key service in memory, which can be away or say no; it counts how often it was asked."""

    key: bytes = bytes(32)
    error: Usage | Unavailable | None = None
    asked: list[str] = field(default_factory=list)
    kind = "service"
    source = "service:one"
    remote = True

    def describe(self) -> str:
        """Return the setting."""
        return self.source

    def recognises(self, form: WrappedKey) -> bool:
        """Say whether it is ours."""
        return (form.kind, form.by) == (self.kind, "one")

    def wrap(self, key_id: str, data_key: bytes) -> WrappedKey:
        """Wrap."""
        self._ask("wrap")
        return WrappedKey(key_id, self.kind, "one", seal_key(self.key, data_key, bound_to(key_id, self.kind, "one")))

    def unwrap(self, form: WrappedKey) -> bytes | None:
        """Unwrap."""
        self._ask("unwrap")
        return open_key(self.key, form.wrapped, form.bound)

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.error is not None:
            raise self.error


@dataclass
class Ground:
    """A store with keys of three kinds."""

    store: FilesStore
    file: Path
    passphrase: Path
    service: Service

    def ring(self) -> KeyRing:
        """Return the keys as a new process has them."""
        return KeyRing(self.store, [self.service, Passphrase(self.passphrase, CHEAP), KeyFile(self.file)])


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """Make it."""
    (tmp_path / "store").mkdir()
    create_key_file(tmp_path / "key")
    create_passphrase_file(tmp_path / "passphrase")
    return Ground(FilesStore(tmp_path / "store"), tmp_path / "key", tmp_path / "passphrase", Service())


def test_each_form_opens_alone(ground: Ground) -> None:
    """A data key is stored once by each key; any one of them alone, the others gone, opens it to the same bytes."""
    key_id = ground.ring().create()
    data_key = ground.ring().key(key_id)
    assert len(ground.store.children(f"keys/{key_id}")) == 3
    for wrapper in (ground.service, Passphrase(ground.passphrase, CHEAP), KeyFile(ground.file)):
        assert KeyRing(ground.store, wrapper).key(key_id) == data_key
    ground.passphrase.unlink()
    ground.service.error = Unavailable("away", hint="?")
    assert ground.ring().key(key_id) == data_key, "two of three lost"


def test_a_service_is_asked_only_where_nothing_else_opens(ground: Ground) -> None:
    """With the key file there no request is made; without files the service is asked, once for each key."""
    key_id = ground.ring().create()
    ground.service.asked.clear()
    ground.ring().key(key_id)
    assert ground.service.asked == []
    ground.file.unlink()
    ground.passphrase.unlink()
    ring = ground.ring()
    ring.key(key_id)
    ring.key(key_id)
    assert ground.service.asked == ["unwrap"]


def test_a_damaged_form_falls_back_to_another(ground: Ground) -> None:
    """A form that is damaged, whichever it is, hinders nothing while another is intact; the last one intact is enough."""
    key_id = ground.ring().create()
    data_key = ground.ring().key(key_id)
    folder = ground.file.parent / "store" / "keys" / key_id
    for name in ("1", "2"):
        (folder / name).write_bytes((folder / name).read_bytes()[:-20] + b"x" * 20)
        assert ground.ring().key(key_id) == data_key
    (folder / "3").write_bytes(b"{}")
    with pytest.raises(ObjectDamaged):
        ground.ring().key(key_id)


def test_nothing_is_written_when_one_key_does_not_wrap(ground: Ground) -> None:
    """A new data key needs every configured key: with one away or missing nothing is begun."""
    ground.service.error = Unavailable("away", hint="?")
    with pytest.raises(Unavailable):
        ground.ring().create()
    ground.service.error = None
    ground.file.unlink()
    with pytest.raises(Usage):
        ground.ring().create()
    assert ground.store.children("") == []


def test_missing_forms_are_added_beside_the_old(ground: Ground) -> None:
    """A key added to the configuration gets a form of each data key; the forms that were there stay as they are."""
    key_id = KeyRing(ground.store, KeyFile(ground.file)).create()
    before = ground.store.read(f"keys/{key_id}/1")
    added = ground.ring().add_missing(key_id)
    assert added == [f"keys/{key_id}/2", f"keys/{key_id}/3"]
    assert ground.ring().add_missing(key_id) == [], "and again changes nothing"
    assert ground.store.read(f"keys/{key_id}/1") == before
    assert KeyRing(ground.store, ground.service).key(key_id) == KeyRing(ground.store, KeyFile(ground.file)).key(key_id)


def test_what_does_not_open_says_why(ground: Ground) -> None:
    """Away is not lost: unavailable. All saying no: lost, with each reason. Gone: which folder is missing."""
    key_id = ground.ring().create()
    ground.file.unlink()
    ground.passphrase.write_text("another passphrase\n")
    ground.service.error = Unavailable("The service is away.", hint="?", code="x-away")
    with pytest.raises(KeyAway) as away:
        ground.ring().key(key_id)
    assert (away.value.reason_code, key_id in away.value.message) == ("x-away", True)
    ground.service.error = Usage("The key service:one is disabled.", hint="Enable it?", code="x-disabled")
    with pytest.raises(KeyLost) as lost:
        ground.ring().key(key_id)
    for needle in (key_id, "service:one is disabled", f"no key file at {ground.file}", "Nothing that is kept"):
        assert needle in lost.value.message
    assert lost.value.hint
    with pytest.raises(KeyGone) as gone:
        ground.ring().key("0" * 32, "slips/1/cluster.json")
    assert gone.value.reason_code == "unknown-data-key"
    assert "slips/1/cluster.json" in gone.value.message


@pytest.mark.parametrize(
    ("kinds", "asked", "not_asked"),
    [
        (("passphrase",), "mistyped?", "first line of the right key file"),
        (("file",), "The first line of the right key file names its id.", "mistyped?"),
        (("file", "passphrase"), "mistyped?", "ARN"),
    ],
)
def test_what_is_asked_of_another_key(ground: Ground, kinds: tuple[str, ...], asked: str, not_asked: str) -> None:
    """A hint asks only about the kinds of keys that are configured."""
    key_id = ground.ring().create()
    ground.passphrase.write_text("another passphrase\n")
    ground.file.unlink()
    create_key_file(ground.file)
    wrappers: dict[str, KeyWrapper] = {"file": KeyFile(ground.file), "passphrase": Passphrase(ground.passphrase, CHEAP)}
    with pytest.raises(KeyLost) as lost:
        KeyRing(ground.store, [wrappers[kind] for kind in kinds]).key(key_id)
    assert lost.value.reason_code == "wrong-key"
    assert asked in lost.value.hint
    assert not_asked not in lost.value.hint


def test_a_key_that_cannot_be_read_counts_everything(tmp_path: Path) -> None:
    """Where the only key cannot be read, what is said of one data key says how many backups of all of them are out of reach; what
    it takes along itself stays its own."""
    repository = open_sample(tmp_path)
    first = repository.keys.current()[0]
    write_backup(sample_cluster(repository), FIRST)
    repository.keys.create()
    write_backup(sample_cluster(open_sample(tmp_path)), SECOND)
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(KeyLost) as lost:
        KeyRing(repository.store, KeyFile(tmp_path / "key")).key(first)
    assert lost.value.reason_code == "key-not-private"
    assert f"({FIRST})" in lost.value.message
    assert "No other data key there opens either: 2 backups in all cannot be read." in lost.value.message
    assert lost.value.more["backups"] == [FIRST]


def test_a_survey_tells_each_form(ground: Ground) -> None:
    """What opens, what refuses, what is away, damaged or nobody's: each form with its state, and which key lacks one."""
    old = KeyRing(ground.store, KeyFile(ground.file)).create()
    key_id = ground.ring().create()
    (ground.file.parent / "store" / "keys" / key_id / "2").write_bytes(b"torn")
    ground.file.unlink()
    create_key_file(ground.file)
    ground.service.error = Unavailable("away", hint="?")
    first, second = survey(ground.ring())
    assert (first.key_id, second.key_id) == (old, key_id)
    assert [form.state for form in first.forms] == ["unused"]
    assert {form.path.rsplit("/", 1)[1]: form.state for form in second.forms} == {
        "1": "away",
        "2": "altered",
        "3": "unused",
    }
    assert not first.opens
    assert first.certain, "no form of it is the service's"
    assert not second.certain, "the service was not heard"
    ground.service.error = None
    first, second = survey(ground.ring())
    assert [form.state for form in second.forms if form.source] == ["opens"]
    assert set(second.without) == {f"passphrase:{ground.passphrase}", f"file:{ground.file}"}
    assert second.unheard == ()
    ground.file.chmod(0o644)
    assert survey(ground.ring())[1].unheard == (f"file:{ground.file}",), "which may have made what is there"
    assert (first.certain, first.opens, second.opens) == (True, False, True)


def test_ids_sort_by_time() -> None:
    """A data key's id tells when it was made, to the millisecond, and newer ones sort last; foreign names tell nothing."""
    before = datetime.now(UTC)
    ids: list[str] = []
    for _ in range(20):
        ids.append(new_key_id(ids))
    assert ids == sorted(ids), "although several are of the same millisecond"
    told = [made_at(key_id) for key_id in ids]
    assert all(at is not None and abs((at - before).total_seconds()) < 60 for at in told)
    ahead = (int(ids[-1][:12], 16) + 10_000_000).to_bytes(6, "big").hex() + "f" * 20
    assert new_key_id([*ids, ahead, "README"]) > ahead, "also after one whose maker's clock was ahead"
    assert [made_at(other) for other in ("", "README", "zz" * 16)] == [None, None, None]


@pytest.mark.parametrize("count", [0, 1, 2, STEP - 1, STEP, STEP + 1, 5 * STEP + 17])
def test_runs_of_wal_are_found_by_a_few_looks(count: int) -> None:
    """Every border between keys is found exactly, for every place of two borders at least a step apart, with few looks."""
    for first in sorted({0, 1, count // 3, count - 1}):
        second = first + STEP
        truth = ["a" if n < first else "b" if n < second else "c" for n in range(count)]
        looked: set[int] = set()

        def key_of(number: int, truth: list[str] = truth, looked: set[int] = looked) -> str:
            looked.add(number)
            return truth[number]

        found = runs(count, key_of)
        assert [key for key, a, b in found for _ in range(a, b + 1)] == truth
        assert len(looked) <= count // STEP + 2 + 2 * STEP.bit_length()


def test_the_sentence_of_what_is_taken_along() -> None:
    """It counts backups, names some, and says from when to when, and the same of WAL; nothing is said to be nothing."""
    at = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
    wal = WalUse(NAME, SYSTEM, "0" * 24, "1" * 24, 7, at, at)
    said = takes_along(Uses([(NAME, FIRST), (NAME, SECOND)], [wal]))
    assert said == (
        f"It takes along 2 backups from 2026-11-21 02:00 to 2026-11-22 02:00 UTC ({FIRST}, {SECOND}); 7 WAL segments of slips "
        "stored from 2026-11-22 02:00 to 2026-11-22 02:00 UTC."
    )
    many = takes_along(Uses([(NAME, FIRST)] * 9))
    assert "9 backups" in many
    assert "and 4 more" in many
    assert takes_along(Uses()) == takes_along(None) == "Nothing that is kept there was sealed with it."
