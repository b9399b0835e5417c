"""Order receipts made by hand, sound and broken ones: what the command and the page are both held to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.adapters.crypto.signing import AuthorSigner
from shared.domain.evidence.checkpoint import Checkpoint
from shared.domain.evidence.leaf import NO_INT64, RowKind, order_leaf
from shared.domain.evidence.manifest_head import Authorship, ManifestHead
from shared.domain.evidence.merkle import inclusion_proof, leaf_hash, root
from shared.domain.evidence.order_receipt import OrderReceipt, ReceiptRow
from shared.domain.evidence.signed_note import COSIGNATURE, ED25519, Note, VerifierKey, make_signature
from tests.support.authors import CHARGING, STRANGER

ORIGIN, WITNESS = "danbao.example/log", "platform.example/witness"
USCC, ORDER, WORKER = "91000000FAKE00001F", "order-5", "5" * 64
ACCEPTED_US: Final = 1_790_999_990_123_456
RUN: Final = "ab" * 16
_LOG: Final = Ed25519PrivateKey.from_private_bytes(sha256(b"log").digest())
_OTHER: Final = Ed25519PrivateKey.from_private_bytes(sha256(b"other").digest())
_WITNESS: Final = Ed25519PrivateKey.from_private_bytes(sha256(b"witness").digest())


def _verifier(name: str, kind: int, key: Ed25519PrivateKey) -> VerifierKey:
    return VerifierKey(name, kind, key.public_key().public_bytes_raw())


LOG_KEY: Final = _verifier(ORIGIN, ED25519, _LOG)
OTHER_KEY: Final = _verifier(ORIGIN, ED25519, _OTHER)
WITNESS_KEY: Final = _verifier(WITNESS, COSIGNATURE, _WITNESS)


def content(kind: int, order: str = ORDER, ended_us: int = NO_INT64, premium: int = 0, **more: object) -> bytes:
    """A row's leaf content; ride-hailing in Guangdong."""
    given: dict[str, object] = {
        "kind": kind, "uscc": USCC.encode(), "accepted_at_us": ACCEPTED_US, "ended_at_us": ended_us,
        "sequence": 7 if kind == 1 else NO_INT64, "premium": premium, "region": 440106,
        "tariff_line": 12 if premium else 0, "token_key": 1, "industry": 1, "reason": 0, "departed": -1,
        "worker": bytes.fromhex(WORKER), "received": sha256(order.encode()).digest(), "order_id": order.encode(),
        "series": b"main" if kind == 1 else None, "agency": None, "insurance_no": None,
    }  # fmt: skip
    return order_leaf(**(given | more))  # type: ignore[arg-type]


ACCEPTED: Final = content(RowKind.ACCEPTANCE, premium=100)
COMPLETED: Final = content(RowKind.COMPLETION, ended_us=ACCEPTED_US + 1_234_000_000)
CANCELLED: Final = content(RowKind.CANCELLATION, ended_us=ACCEPTED_US + 60_000_000, reason=1, departed=0)
REVERSED: Final = content(RowKind.REVERSAL, ended_us=ACCEPTED_US + 60_000_000, premium=-100, reason=1, departed=0)


def sign(checkpoint: Checkpoint, key: Ed25519PrivateKey = _LOG, *, is_witnessed: bool = True) -> bytes:
    """The note."""
    lines = [make_signature(_verifier(ORIGIN, ED25519, key), checkpoint.text, key.sign)]
    if is_witnessed:
        lines.append(make_signature(WITNESS_KEY, checkpoint.text, _WITNESS.sign, 1_791_000_060))
    return bytes(Note(checkpoint.text, tuple(lines)))


def receipt_of(
    contents: list[bytes],
    *,
    leaves: int = 11,
    entries: int = 21,
    apart: int = 3,
    change: Callable[[int, ManifestHead], ManifestHead] = lambda _, head: head,
) -> OrderReceipt:
    """A receipt of rows `apart` entries from each other in a log, each in a batch of so many leaves.

    `change` is done to the head of each row's batch.
    """
    trees = [_batch(number, content, leaves) for number, content in enumerate(contents)]
    heads = {5 + number * apart: change(number, head) for number, (head, _, _) in enumerate(trees)}
    log = [bytes(heads.get(index) or _head(index, leaves, sha256(b"%d" % index).digest())) for index in range(entries)]
    hashes = [leaf_hash(entry) for entry in log]
    rows = [
        ReceiptRow(content, rank, tuple(proof), log[index], index, tuple(inclusion_proof(hashes, index)))
        for content, (_, rank, proof), index in zip(contents, trees, sorted(heads), strict=True)
    ]
    return OrderReceipt(tuple(rows), sign(Checkpoint(ORIGIN, entries, root(hashes))))


def _batch(number: int, own: bytes, leaves: int) -> tuple[ManifestHead, int, list[bytes]]:
    rank = (3 + number) % leaves
    hashes = [leaf_hash(own if place == rank else b"%d" % place) for place in range(leaves)]
    return _head(100 + number, leaves, root(hashes)), rank, inclusion_proof(hashes, rank)


def _head(number: int, leaves: int, tree: bytes) -> ManifestHead:
    return sign_head(ManifestHead("orders", RUN, number, leaves, tree, sha256(b"totals").digest()))


def sign_head(head: ManifestHead, author: AuthorSigner = CHARGING) -> ManifestHead:
    """The head as an entry of version 2."""
    statement = head.statement(0, author.key_id)
    return replace(head, authorship=Authorship(0, author.key_id, author.sign(statement)))


@dataclass(frozen=True)
class Case:
    """A receipt and the step at which it fails; None for a sound one."""

    name: str
    receipt: OrderReceipt
    fails_at: str | None = None
    worker: str | None = None
    order: str | None = None


def cases() -> Iterator[Case]:
    """Sound receipts of every length, and each thing that can be changed."""
    sound = receipt_of([ACCEPTED, COMPLETED])
    yield Case("acceptance", receipt_of([ACCEPTED]))
    yield Case("a log of one entry, a batch of one row", receipt_of([ACCEPTED], leaves=1, entries=6))
    yield Case("completed", sound, worker=WORKER, order=ORDER)
    yield Case("cancelled and taken back", receipt_of([ACCEPTED, CANCELLED, REVERSED]))
    yield Case("excluded", receipt_of([content(RowKind.ACCEPTANCE, reason=2)]))
    yield Case("another worker", sound, "worker", worker="6" * 64)
    yield Case("another order", sound, "order", order="order-6")
    other = content(RowKind.COMPLETION, "order-6", ACCEPTED_US + 1)
    yield Case("rows of two orders", receipt_of([ACCEPTED, other]), "order")
    yield Case("a completion alone", receipt_of([COMPLETED]), "order")
    yield Case("a row twice", receipt_of([ACCEPTED, ACCEPTED]), "order")
    yield from _altered(sound)
    note = sound.note
    yield Case(
        "checkpoint of other size", replace(sound, note=note.replace(b"\n21\n", b"\n22\n")), "signature of the log"
    )
    yield Case("no checkpoint", replace(sound, note=b"hello"), "checkpoint")
    checkpoint = Checkpoint(ORIGIN, 21, sha256(b"another history").digest())
    yield Case("another history, signed", replace(sound, note=sign(checkpoint)), "log proof of row 1")
    true = Checkpoint.parse(Note.parse(note).text)
    yield Case("signed with another key", replace(sound, note=sign(true, _OTHER)), "signature of the log")
    yield Case(
        "before batches were signed", receipt_of([ACCEPTED, COMPLETED], change=lambda _, head: head.without_author())
    )
    yield Case("signed from the second on", receipt_of([ACCEPTED, COMPLETED], change=_unsigned(0)))
    yield Case("not signed any more", receipt_of([ACCEPTED, COMPLETED], change=_unsigned(1)), "author of row 2")
    strange = receipt_of([ACCEPTED, COMPLETED], change=lambda _, head: sign_head(head, STRANGER))
    yield Case("made by a stranger", strange, "author of row 1")
    another = receipt_of(
        [ACCEPTED], change=lambda _, head: replace(head, authorship=sign_head(replace(head, leaves=1)).authorship)
    )
    yield Case("signature of another batch", another, "author of row 1")
    unwitnessed = sign(true, is_witnessed=False)
    yield Case("not cosigned", replace(sound, note=unwitnessed), "cosignature of the witness")


def _unsigned(row: int) -> Callable[[int, ManifestHead], ManifestHead]:
    return lambda number, head: head.without_author() if number == row else head


def _altered(sound: OrderReceipt) -> Iterator[Case]:
    def with_row(number: int, change: Callable[[ReceiptRow], ReceiptRow]) -> OrderReceipt:
        rows = list(sound.rows)
        rows[number] = change(rows[number])
        return replace(sound, rows=tuple(rows))

    cheap = content(RowKind.ACCEPTANCE, premium=1)
    yield Case("premium", with_row(0, lambda row: replace(row, content=cheap)), "batch proof of row 1")
    late = content(RowKind.COMPLETION, ended_us=ACCEPTED_US + 9_234_000_000)
    yield Case("end of cover", with_row(1, lambda row: replace(row, content=late)), "batch proof of row 2")
    yield Case("rank", with_row(0, lambda row: replace(row, rank=row.rank ^ 1)), "batch proof of row 1")
    short = with_row(0, lambda row: replace(row, batch_proof=row.batch_proof[:-1]))
    yield Case("proof too short", short, "batch proof of row 1")
    flipped = with_row(1, lambda row: replace(row, log_proof=(bytes(32), *row.log_proof[1:])))
    yield Case("log proof", flipped, "log proof of row 2")
    yield Case("index", with_row(1, lambda row: replace(row, index=row.index + 1)), "log proof of row 2")
    yield Case(
        "entry of no kind",
        with_row(1, lambda row: replace(row, entry=row.entry[:1] + b"\0" + row.entry[2:])),
        "entry of row 2",
    )
    no_leaf = with_row(0, lambda row: replace(row, content=b"\x02" + row.content[1:]))
    yield Case("leaf of no version", no_leaf, "leaf of the order")
