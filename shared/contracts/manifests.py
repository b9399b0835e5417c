"""What the services tell each other: batch manifests, the close of a day, statements, remittances.

Amounts are integers of 0.0001 yuan (design D7), signed; counts are of events or orders. JSON, msgspec.
"""

from collections.abc import Callable
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from shared.contracts.events import END
from shared.domain.manifest_head import Authorship, ManifestHead, totals_root

Amount = Annotated[int, Meta(description="0.0001 yuan, signed")]
RunId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$", description="one start of one charging worker")]
Number = Annotated[int, Meta(ge=1, description="manifests of a run count from 1 without a gap")]
ManifestKind = Literal["orders", "settlement", "correction", "assessment"]
ALONE: Final = "charging"
"""What charging is called where it is one deployment."""
DeploymentName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,30}" + END, description="charging's deployment")]
KeyId = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}" + END, description="id of the key of the deployment that made it")]
EntrySignature = Annotated[
    str, Meta(pattern=r"^[0-9a-f]{128}" + END, description="the author's, Ed25519, over the log entry of version 2")
]
Cut = Annotated[dict[str, int], Meta(description="how far a close reaches: run to its last number within")]


class Outcome(StrEnum):
    """Where an event ended (design D10). REVERSED rows are made by us and counted beside the sum."""

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
    enterprise: str
    province: str | None
    industry: str | None
    outcome: Outcome
    reason: str | None = None
    tariff_line: int | None = None
    orders: int
    premium: Amount = 0


class PremiumsCharged(Struct, frozen=True, kw_only=True):
    """The manifest of one batch (design D2): `kind` orders counts events, settlement counts reversals.

    A correction counts orders that were rated anew: what was charged before as reversed, and what they cost or why they
    cost nothing now as charged or excluded. None of these are events.

    An assessment counts numbers of a series that are presumed to be orders that were not sent, as charged, and what
    takes them back, as reversed; the reason of such a total is `assessed:` and the series.
    """

    run: RunId
    number: Number
    kind: ManifestKind
    leaves: int
    root: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$", description="Merkle root of the batch's rows, RFC 6962")]
    totals: list[Total]
    deployment: DeploymentName = ALONE
    edition: Annotated[int, Meta(ge=0, lt=2**32, description="0: editions are not in use yet")] = 0
    author: KeyId | None = None
    signature: EntrySignature | None = None


def total_content(total: Total) -> bytes:
    """The content of a total's leaf: its JSON, fields in their order, without spaces."""
    return msgspec.json.encode(total)


def head_of(manifest: PremiumsCharged) -> ManifestHead:
    """What of the manifest stands in the log: an entry of version 2 where it is signed, else of version 1."""
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
    """The ledger froze a cut and asks charging to settle and count over exactly these batches.

    `previous_cut` is that of the day before; a late row is one in the cut but not in the previous one.
    """

    day: date
    attempt: int
    cut: Cut
    previous_cut: Cut


class WorkerCount(Struct, frozen=True, kw_only=True):
    """Distinct workers with a charged acceptance. These do not add up over enterprises, provinces or days.

    `enterprise` None: over all enterprises of the province. Days before the closing one count only workers not
    counted on that day before.
    """

    insured_on: date
    enterprise: str | None
    province: str
    workers: int


class FirstTime(Struct, frozen=True, kw_only=True):
    """Workers charged in this province for the first time."""

    province: str
    workers: int


class AcceptancesByHour(Struct, frozen=True, kw_only=True):
    """When orders of a day were accepted, charged or not. Of days before the closing one: those that came late."""

    insured_on: date
    enterprise: str
    province: str
    orders: Annotated[
        list[int],
        Meta(min_length=24, max_length=24, description="by hour of acceptance in Asia/Shanghai, from 00:00 on"),
    ]


class DayCounted(Struct, frozen=True, kw_only=True):
    """The answer of one deployment. `settlement` was written for this close and belongs to its cut."""

    day: date
    attempt: int
    cut: Cut
    settlement: PremiumsCharged | None
    totals: list[Total]
    workers: list[WorkerCount]
    first_time: list[FirstTime]
    resends: int
    unmatched_cancellations: int
    hours: list[AcceptancesByHour] = []
    deployment: DeploymentName = ALONE


class DayClosed(Struct, frozen=True, kw_only=True):
    """The books of the day stand. `totals` are by insured day: the day itself, and late ones before it."""

    day: date
    as_of: datetime
    totals: list[Total]
    workers: list[WorkerCount]
    first_time: list[FirstTime]
    hours: list[AcceptancesByHour] = []


class StatementLine(Struct, frozen=True, kw_only=True):
    """One line, rounded once. `kind` adjustment: insured in an earlier month, `insured_month` names it.

    `kind` assessed: orders are numbers of `series` that nothing bears, presumed to be orders of `insured_on` that were
    not sent, less those that arrived or were declared unused.
    """

    number: int
    kind: Literal["line", "adjustment", "assessed"]
    insured_month: str
    industry: str
    tariff_line: int
    base_amount: Amount
    orders: Annotated[int, Meta(description="charged less reversed")]
    exact_amount: Amount
    amount: Annotated[int, Meta(description="0.0001 yuan, whole fen")]
    series: str | None = None
    insured_on: date | None = None


class StatementIssued(Struct, frozen=True, kw_only=True):
    """What one enterprise owes one province for one month (费款所属期)."""

    statement_id: str
    enterprise: str
    province: str
    period: str
    as_of: datetime
    due_on: date
    lines: list[StatementLine]
    orders: int
    exact_amount: Amount
    amount: Amount


class RemittanceReceived(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Money that arrived for an enterprise in a province (缴费入库), told once per `remittance_id`."""

    remittance_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}" + END)]
    enterprise: Annotated[str, Meta(pattern=r"^[0-9A-Z]{18}" + END)]
    province: Annotated[str, Meta(pattern=r"^[0-9]{2}" + END)]
    amount_yuan: Annotated[
        str, Meta(pattern=r"^[0-9]{1,15}(\.[0-9]{1,2})?" + END, description="yuan, whole fen, above 0")
    ]
    received_on: date
