"""Check the evidence log against the manifests, checkpoints against entries, and the witness against both (I7)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from services.audit.facts import Facts
from services.audit.verdict import Check, Verdict
from shared.adapters.crypto.signing import is_signed
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.typed_rows import fetch_structs
from shared.contracts.manifests import head_of
from shared.domain.errors import Refused
from shared.domain.evidence import merkle
from shared.domain.evidence.authors import Authors, Role
from shared.domain.evidence.checkpoint import Checkpoint
from shared.domain.evidence.log_authors import LogAuthors
from shared.domain.evidence.manifest_head import ManifestHead, read_entry
from shared.domain.evidence.signed_note import COSIGNATURE, ED25519, Note, Signature, VerifierKey, check_note
from shared.domain.evidence.tiles import HEIGHT

_ENTRIES: Final = "select index, run, number, entry, leaf_hash from ledger.log_entry order by index"
_SIZE: Final = "select coalesce(max(index) + 1, 0) from ledger.log_entry"


class _EntryRow(Struct, frozen=True):
    """A row of `ledger.log_entry`."""

    index: int
    run: str
    number: int
    entry: bytes
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class Views:
    """Our database in the audit's snapshot, the national platform's, and ours as it is after that was read."""

    ours: Connection
    platform: Connection
    later: Connection


async def check_log(
    views: Views, facts: Facts, verdict: Verdict, vkeys: Sequence[VerifierKey] | None, authors: Authors
) -> None:
    """Run all checks of the log; without `vkeys` no signature is checked, and the verdict says so."""
    entries = await fetch_structs(views.ours, _EntryRow, _ENTRIES)
    await _check_entries(views.ours, facts, entries, verdict.check("I4", "log = booked manifests, each entry its head"))
    _check_authors(entries, authors, verdict)
    tree = _Tree([merkle.leaf_hash(row.entry) for row in entries])
    roots = verdict.check("I7", "every checkpoint, tile and day's close covers the entries of the log")
    await _check_tree(views.ours, entries, tree, roots)
    await _check_days(views.ours, facts, entries, roots)
    unsigned = "" if vkeys else " (no signature was checked: DANBAO_VKEYS is not set)"
    signed = verdict.check("I7", f"every checkpoint is signed by the log, every cosignature by the witness{unsigned}")
    await _check_signatures(views.ours, signed, vkeys)
    await _check_witness(views, tree, verdict.check("I7", "what the national platform cosigned is what the log holds"))


class _Tree:
    """All full subtrees over the leaf hashes, by height."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.size, self._levels = len(leaves), [leaves]
        while len(level := self._levels[-1]) > 1:
            pairs = range(0, len(level) // 2 * 2, 2)
            self._levels.append([merkle.root(level[place : place + 2]) for place in pairs])

    def node(self, height: int, index: int) -> bytes:
        """The root of a full subtree; `IndexError` outside the tree."""
        return self._levels[height][index]

    def root(self, size: int) -> bytes | None:
        """The root over the first `size` leaves; None where there are fewer."""
        return merkle.range_root((0, size), self.node) if size <= self.size else None

    def continues(self, old: Checkpoint, new: Checkpoint) -> bool:
        """Return whether the entries prove that one signed root extends another."""
        if new.size > self.size:
            return False
        proof = [merkle.range_root(wanted, self.node) for wanted in merkle.consistency_ranges(old.size, new.size)]
        return merkle.verify_consistency(old.size, old.root, new.size, new.root, proof)


async def _check_entries(connection: Connection, facts: Facts, entries: Sequence[_EntryRow], check: Check) -> None:
    heads = {
        (manifest.reported.run, manifest.reported.number): head_of(manifest.reported)
        for manifest in facts.manifests.values()
    }
    booked = {(row["run"], row["number"]) for row in await connection.fetch("select * from ledger.manifest_booked")}
    last: dict[str, int] = defaultdict(int)
    for place, row in enumerate(entries):
        key = (row.run, row.number)
        name = f"ledger.log_entry {place} ({key[0]}/{key[1]})"
        check.compare(f"{name}, index", row.index, place)
        check.compare(f"{name}, number that follows in its run", row.number, last[row.run] + 1)
        last[row.run] = row.number
        if (head := heads.get(key)) is not None:
            _compare_entry(check, name, row.entry, head)
        if key not in booked:
            check.find(f"{name}: no such manifest is booked")
        booked.discard(key)
    for run, number in sorted(booked):
        check.find(f"ledger.log_entry: manifest {run}/{number} is booked and not in the log")


def _check_authors(entries: Sequence[_EntryRow], authors: Authors, verdict: Verdict) -> None:
    """Check that every entry is made by charging, or of version 1, from before manifests were signed."""
    if not authors.has(Role.CHARGING):
        verdict.check("I7", "every entry is made by charging (no author was checked: DANBAO_VKEYS names no key of it)")
        return
    made, faults = LogAuthors(authors), []
    for row in entries:
        try:
            made.check(row.index, row.entry)
        except Refused as error:
            faults.append(f"ledger.log_entry {row.index}: {error}")
    old = f" (author not proved of {made.unsigned} entries of version 1)" if made.unsigned else ""
    check = verdict.check("I7", f"every entry of the log is made by charging{old}")
    for fault in faults:
        check.find(fault)


def _compare_entry(check: Check, name: str, entry: bytes, head: ManifestHead) -> None:
    """Compare a log entry with a manifest head; a head without authorship may have been signed on request later."""
    if head.authorship is None and read_entry(entry) is not None:
        entry = bytes(ManifestHead.parse(entry).without_author())
    check.compare(name, entry.hex(), bytes(head).hex())


async def _check_tree(connection: Connection, entries: Sequence[_EntryRow], tree: _Tree, check: Check) -> None:
    for place, row in enumerate(entries):
        stored, worked_out = row.leaf_hash.hex(), tree.node(0, place).hex()
        check.compare(f"ledger.log_entry {row.index}, leaf_hash", stored, worked_out)
    for row in await connection.fetch("select level, index, hash from ledger.log_node order by level, index"):
        height = HEIGHT * row["level"]
        is_within = (row["index"] + 1) << height <= tree.size
        node = tree.node(height, row["index"]).hex() if is_within else None
        check.compare(f"ledger.log_node {row['level']}/{row['index']}", bytes(row["hash"]).hex(), node)
    last = Checkpoint("", 0, merkle.EMPTY_ROOT)
    for row in await connection.fetch("select size, origin, root from ledger.checkpoint order by size"):
        checkpoint, name = (
            Checkpoint(row["origin"], row["size"], bytes(row["root"])),
            f"ledger.checkpoint {row['size']}",
        )
        root = tree.root(checkpoint.size)
        check.compare(name, checkpoint.root.hex(), root.hex() if root else None)
        if not tree.continues(last, checkpoint):
            check.find(f"{name} does not continue the one of {last.size}")
        last = checkpoint


async def _check_days(connection: Connection, facts: Facts, entries: Sequence[_EntryRow], check: Check) -> None:
    """Check that a day's checkpoint covers every manifest of its cut; the newest day may still wait for one."""
    place = {(row.run, row.number): row.index for row in entries}
    sizes = {row["day"]: row["size"] for row in await connection.fetch("select day, size from ledger.day_checkpoint")}
    for closed in facts.closed:
        size = sizes.get(closed.day)
        for run, number in closed.cut.items():
            if size is not None and place.get((run, number), size) >= size:
                check.find(f"ledger.day_checkpoint {closed.day}: {size} entries, without manifest {run}/{number}")


async def _check_signatures(connection: Connection, check: Check, vkeys: Sequence[VerifierKey] | None) -> None:
    lines: dict[int, list[str]] = defaultdict(list)
    for row in await connection.fetch("select size, line from ledger.cosignature"):
        lines[row["size"]].append(row["line"])
    for row in await connection.fetch("select size, origin, root, note from ledger.checkpoint order by size"):
        name = f"ledger.checkpoint {row['size']}"
        try:
            note = Note.parse(bytes(row["note"]))
            check.compare(name, note.text, Checkpoint(row["origin"], row["size"], bytes(row["root"])).text)
            cosignatures = tuple(Signature.parse(line.removesuffix("\n")) for line in lines[row["size"]])
            if vkeys is not None:
                _check_note(check, name, Note(note.text, note.signatures + cosignatures), vkeys, bool(cosignatures))
        except Refused as error:
            check.find(f"{name}: {error}")


def _check_note(check: Check, name: str, note: Note, vkeys: Sequence[VerifierKey], is_cosigned: bool) -> None:
    kinds = {key.kind for key in check_note(note, vkeys, is_signed)}
    if ED25519 not in kinds:
        check.find(f"{name}: no known key of the log signed it")
    if is_cosigned and COSIGNATURE not in kinds:
        check.find(f"{name}: no known witness cosigned it")


async def _check_witness(views: Views, tree: _Tree, check: Check) -> None:
    """Check the witness's log, read after ours: it may be larger, but then ours has grown to that by now."""
    origins = {row["origin"] for row in await views.ours.fetch("select distinct origin from ledger.checkpoint")}
    for row in await views.platform.fetch("select origin, size, root from national_platform.witnessed order by size"):
        if row["origin"] not in origins:
            continue
        name, root = f"national_platform.witnessed {row['size']}", tree.root(row["size"])
        if root is not None:
            check.compare(name, bytes(row["root"]).hex(), root.hex())
        elif row["size"] > await views.later.fetchval(_SIZE):
            check.find(f"{name}: the log has fewer entries")
    for row in await views.platform.fetch("select * from national_platform.witness_alarm order by alarm_id"):
        check.find(f"national_platform.witness_alarm {row['alarm_id']}: {row['reason']} at size {row['size']}")
