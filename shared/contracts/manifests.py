"""Defines the messages between services: batch manifests, the close of a day, statements, remittances.

Amounts are integers of 0.0001 yuan, signed; counts are of events or orders. JSON, msgspec. Every field is
bounded (shared/contracts/bounds.py).
"""

from collections.abc import Callable
from datetime import date
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from shared.contracts.bounds import (
    END,
    LARGEST_NUMBER,
    MOST_LINES,
    MOST_PROVINCES,
    MOST_RUNS,
    MOST_TOTALS,
    Amount,
    Count,
    IndustryWord,
    Instant,
    Name,
    NetOrders,
    Ordinal,
    Period,
    Province,
    Series,
    Sha256,
    SomeOrders,
    SumAmount,
    TariffLine,
    Uscc,
    check_days,
    check_insured_days,
)
from shared.contracts.outside_declaration import Outside
from shared.domain.evidence.manifest_head import Authorship, ManifestHead, totals_root

RunId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}" + END, description="one start of one charging worker")]
Number = Annotated[int, Meta(ge=1, le=LARGEST_NUMBER, description="manifests of a run count from 1 without a gap")]
ManifestKind = Literal["orders", "settlement", "correction", "assessment"]
ALONE: Final = "charging"
"""What charging is called where it is one deployment."""
DeploymentName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,30}" + END, description="charging's deployment")]
KeyId = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}" + END, description="id of the key of the deployment that made it")]
EntrySignature = Annotated[
    str, Meta(pattern=r"^[0-9a-f]{128}" + END, description="the author's, Ed25519, over the log entry of version 2")
]
Cut = Annotated[
    dict[RunId, Number],
    Meta(max_length=MOST_RUNS, description="how far a close reaches: run to its last number within"),
]


class Outcome(StrEnum):
    """Where an event ended (docs/decisions/0004). REVERSED rows are made by charging, and are no events."""

    CHARGED = "charged"
    EXCLUDED = "excluded"
    RECORDED = "recorded"
    PARKED = "parked"
    REPEAT = "repeat"
    CONFLICT = "conflict"
    REVERSED = "reversed"


class Total(Struct, frozen=True, kw_only=True):
    """How many events of one batch or day ended alike, and the premium of them."""

    insured_on: date | None
    enterprise: Uscc
    province: Province | None
    industry: IndustryWord | None
    outcome: Outcome
    reason: Name | None = None
    tariff_line: TariffLine | None = None
    orders: SomeOrders
    premium: Amount = 0

    def __post_init__(self) -> None:
        check_insured_days(self.insured_on)


Totals = Annotated[list[Total], Meta(max_length=MOST_TOTALS)]


class PremiumsCharged(Struct, frozen=True, kw_only=True):
    """The manifest of one batch (docs/decisions/0004): `kind` orders counts events, settlement counts reversals.

    A correction counts orders that were re-rated: what was charged before as reversed, and what they cost or why they
    cost nothing now as charged or excluded. None of these are events.

    An assessment counts numbers of a series that are presumed to be orders that were not sent, as charged, and what
    takes them back, as reversed; the reason of such a total is `assessed:` and the series.
    """

    run: RunId
    number: Number
    kind: ManifestKind
    leaves: Annotated[int, Meta(ge=0, le=LARGEST_NUMBER)]
    root: Annotated[Sha256, Meta(description="Merkle root of the batch's rows, RFC 6962")]
    totals: Totals
    deployment: DeploymentName = ALONE
    edition: Annotated[int, Meta(ge=0, lt=2**32, description="0: editions are not in use yet")] = 0
    author: KeyId | None = None
    signature: EntrySignature | None = None


def total_content(total: Total) -> bytes:
    """The content of a total's leaf: its JSON, fields in their order, without spaces."""
    return msgspec.json.encode(total)


def head_of(manifest: PremiumsCharged) -> ManifestHead:
    """The part of the manifest that is in the log: an entry of version 2 where it is signed, else of version 1."""
    authorship = None
    if manifest.author is not None and manifest.signature is not None:
        signed_by, signature = bytes.fromhex(manifest.author), bytes.fromhex(manifest.signature)
        authorship = Authorship(manifest.edition, signed_by, signature)
    return ManifestHead(
        kind=manifest.kind,
        run=manifest.run,
        number=manifest.number,
        leaves=manifest.leaves,
        root=bytes.fromhex(manifest.root),
        totals_root=totals_root(total_content(total) for total in manifest.totals),
        authorship=authorship,
    )


def sign_manifest(manifest: PremiumsCharged, key_id: bytes, sign: Callable[[bytes], bytes]) -> PremiumsCharged:
    """The manifest with its author and his signature over the log entry; `sign` makes the 64 bytes of Ed25519."""
    signature = sign(head_of(manifest).statement(manifest.edition, key_id))
    return msgspec.structs.replace(manifest, author=key_id.hex(), signature=signature.hex())


class DayClosing(Struct, frozen=True, kw_only=True):
    """The ledger froze a cut; charging has to settle and count over exactly these batches.

    `previous_cut` is that of the day before; a late row is one in the cut but not in the previous one.
    """

    day: date
    attempt: Ordinal
    cut: Cut
    previous_cut: Cut

    def __post_init__(self) -> None:
        check_days(self.day)


def question_hash(closing: DayClosing) -> str:
    """SHA-256 of a question: its answer names it, so that no other question's answer is taken for it."""
    return sha256(msgspec.json.encode(closing, order="deterministic")).hexdigest()


def cut_hash(cut: dict[str, int]) -> str:
    """SHA-256 of a cut; every attempt of a close has the same."""
    return sha256(msgspec.json.encode(cut, order="deterministic")).hexdigest()


class WorkerCount(Struct, frozen=True, kw_only=True):
    """Distinct workers with a charged acceptance. These do not add up over enterprises, provinces or days.

    `enterprise` None: over all enterprises of the province. Days before the closing one count only workers not
    counted on that day before.
    """

    insured_on: date
    enterprise: Uscc | None
    province: Province
    workers: Count

    def __post_init__(self) -> None:
        check_insured_days(self.insured_on)


class FirstTime(Struct, frozen=True, kw_only=True):
    """Workers charged in this province for the first time."""

    province: Province
    workers: Count


class AcceptancesByHour(Struct, frozen=True, kw_only=True):
    """When orders of a day were accepted, charged or not. Of days before the closing one: those that came late."""

    insured_on: date
    enterprise: Uscc
    province: Province
    orders: Annotated[
        list[Count],
        Meta(min_length=24, max_length=24, description="by hour of acceptance in Asia/Shanghai, from 00:00 on"),
    ]

    def __post_init__(self) -> None:
        check_insured_days(self.insured_on)


Workers = Annotated[list[WorkerCount], Meta(max_length=MOST_TOTALS)]
FirstTimes = Annotated[list[FirstTime], Meta(max_length=MOST_PROVINCES)]
Hours = Annotated[list[AcceptancesByHour], Meta(max_length=MOST_TOTALS)]


class DayCounted(Struct, frozen=True, kw_only=True):
    """The answer of one deployment. `settlement` was written for this close and belongs to its cut.

    `question` is the `question_hash` of what it answers. Answers from before that field leave it out, and keep their
    bytes when they are encoded again. `outside` is left out where no order lies outside a signed declaration.
    """

    day: date
    attempt: Ordinal
    cut: Cut
    settlement: PremiumsCharged | None
    totals: Totals
    workers: Workers
    first_time: FirstTimes
    resends: Count
    unmatched_cancellations: Count
    hours: Hours = []
    deployment: DeploymentName = ALONE
    question: Sha256 | UnsetType = UNSET
    outside: Outside | UnsetType = UNSET

    def __post_init__(self) -> None:
        check_days(self.day)


class DayClosed(Struct, frozen=True, kw_only=True):
    """The books of the day are final. `totals` are by insured day: the day itself, and late ones before it."""

    day: date
    as_of: Instant
    totals: Totals
    workers: Workers
    first_time: FirstTimes
    hours: Hours = []

    def __post_init__(self) -> None:
        check_days(self.day, self.as_of)


class StatementLine(Struct, frozen=True, kw_only=True):
    """One line, rounded once. `kind` adjustment: insured in an earlier month, `insured_month` names it.

    `kind` assessed: orders are numbers of `series` without acceptance, presumed to be orders of `insured_on` that were
    not sent, less those that arrived or were declared unused.

    `kind` outside_declaration: orders outside the signed declaration, which the other lines leave out. Its amount is
    what is left of the rounded sum of both, so it may differ from `exact_amount` by up to a fen.
    """

    number: Ordinal
    kind: Literal["line", "adjustment", "assessed", "outside_declaration"]
    insured_month: Period
    industry: IndustryWord
    tariff_line: TariffLine
    base_amount: Amount
    orders: NetOrders
    exact_amount: SumAmount
    amount: Annotated[SumAmount, Meta(description="0.0001 yuan, whole fen")]
    series: Series | None = None
    insured_on: date | None = None

    def __post_init__(self) -> None:
        check_insured_days(self.insured_on)


class StatementIssued(Struct, frozen=True, kw_only=True):
    """What one enterprise owes one province for one month (费款所属期).

    While `due_on_is_provisional` a notice of holidays may still move the due date later, and nothing is late.
    """

    statement_id: Name
    enterprise: Uscc
    province: Province
    period: Period
    as_of: Instant
    due_on: date
    due_on_is_provisional: bool = False
    calendar: Annotated[Sha256, Meta(description="edition of the working-day calendar")] | UnsetType = UNSET
    lines: Annotated[list[StatementLine], Meta(max_length=MOST_LINES)]
    orders: NetOrders
    exact_amount: SumAmount
    amount: SumAmount

    def __post_init__(self) -> None:
        check_days(self.as_of, self.due_on)


ReversalReason = Literal["wrong_day", "wrong_amount", "wrong_party", "twice", "returned"]
"""Why a remittance is taken back; a closed list."""


class RemittanceReceived(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Money that arrived for an enterprise in a province (缴费入库), reported once per `remittance_id`.

    With `reverses` it takes another remittance back instead (冲销), and repeats the other fields of that one.
    """

    remittance_id: Name
    enterprise: Uscc
    province: Province
    amount_yuan: Annotated[
        str, Meta(pattern=r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,2})?" + END, description="yuan, whole fen, above 0")
    ]
    received_on: date
    reverses: Annotated[Name | None, Meta(description="the remittance that this one takes back")] = None
    reason: Annotated[ReversalReason | None, Meta(description="why; with `reverses` only")] = None
    authority: Annotated[Name | None, Meta(description="number of the order to do so; with `reverses` only")] = None

    def __post_init__(self) -> None:
        check_days(self.received_on)
        if len({self.reverses is None, self.reason is None, self.authority is None}) > 1:
            raise ValueError("reverses, reason and authority: all three or none")
        if self.reverses == self.remittance_id:
            raise ValueError("a remittance that reverses itself")
