"""`danbao verify log` over folders made by hand: sound at every awkward size, and each kind of damage."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from services.verify.keys import Keys
from services.verify.log import verify_log
from services.verify.verdict import NotProved
from shared.domain.evidence import merkle
from shared.domain.evidence.checkpoint import Checkpoint
from shared.domain.evidence.manifest_head import ManifestHead
from shared.domain.evidence.tiles import ENTRIES, WIDTH, join_entries, tiles_of
from tests.support.authors import AUTHORS
from tests.support.receipt_cases import LOG_KEY, ORIGIN, RUN, WITNESS_KEY, sign

KEYS = Keys((LOG_KEY,), (WITNESS_KEY,), AUTHORS)
SIZE = 700


def entries_of(size: int, salt: bytes = b"") -> list[bytes]:
    """Heads of the manifests of one run."""
    trees = (sha256(salt + b"%d" % number).digest() for number in range(size))
    return [bytes(ManifestHead("orders", RUN, 1 + number, 8, tree, tree)) for number, tree in enumerate(trees)]


def note_of(entries: list[bytes], size: int) -> bytes:
    return sign(Checkpoint(ORIGIN, size, merkle.root([merkle.leaf_hash(entry) for entry in entries[:size]])))


def write_log(folder: Path, entries: list[bytes]) -> Path:
    """Write the files of a log as C2SP tlog-tiles specifies."""
    levels = {0: [merkle.leaf_hash(entry) for entry in entries]}
    for tile in tiles_of(len(entries)):
        if tile.level > 0 and tile.level not in levels:
            below = levels[tile.level - 1]
            full = range(len(below) // WIDTH)
            levels[tile.level] = [merkle.root(below[place * WIDTH : (place + 1) * WIDTH]) for place in full]
        held = entries if tile.level == ENTRIES else levels[tile.level]
        part = held[tile.start : tile.end]
        path = folder / tile.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(join_entries(part) if tile.level == ENTRIES else b"".join(part))
    (folder / "checkpoint").write_bytes(note_of(entries, len(entries)))
    return folder


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 512, SIZE])
def test_a_copied_log_of_any_size_is_proved(tmp_path: Path, size: int) -> None:
    entries = entries_of(size)
    said = verify_log(write_log(tmp_path, entries), KEYS, note_of(entries, size // 2))
    assert said.startswith(f"Proved: the {size} entries of {ORIGIN} give its checkpoint's root, signed by {ORIGIN}")
    assert f"since your checkpoint of {size // 2} entries the log has only grown" in said


def flip(path: str) -> Callable[[Path], None]:
    """Change the last byte of a file."""

    def change(folder: Path) -> None:
        data = bytearray((folder / path).read_bytes())
        data[-1] ^= 1
        (folder / path).write_bytes(data)

    return change


@pytest.mark.parametrize(
    ("damage", "step"),
    [
        (flip("tile/entries/001"), "tile/0/001"),
        (flip("tile/0/000"), "tile/0/000"),
        (flip("tile/1/000.p/2"), "tile/1/000.p/2"),
        (lambda folder: (folder / "tile/entries/002.p/188").unlink(), "tile/entries/002"),
        (flip("checkpoint"), "checkpoint"),
        (lambda folder: write_log(folder, entries_of(600) + entries_of(101)[:1]), "tile/entries/002.p/89"),
        (lambda folder: (folder / "checkpoint").write_bytes(note_of(entries_of(SIZE, b"x"), SIZE)), "root"),
    ],
    ids=["entry", "leaf hash", "upper tile", "missing bundle", "checkpoint", "a manifest twice", "another history"],
)
def test_damage_is_named(tmp_path: Path, damage: Callable[[Path], object], step: str) -> None:
    damage(write_log(tmp_path, entries_of(SIZE)))
    with pytest.raises(NotProved) as failed:
        verify_log(tmp_path, KEYS, None)
    assert failed.value.step == step


def test_another_history_than_the_one_seen_before_is_noticed(tmp_path: Path) -> None:
    folder = write_log(tmp_path, entries_of(SIZE))
    for seen, size in ((entries_of(SIZE, b"x"), 300), (entries_of(SIZE + 1), SIZE + 1)):
        with pytest.raises(NotProved) as failed:
            verify_log(folder, KEYS, note_of(seen, size))
        assert failed.value.step == "older checkpoint"
