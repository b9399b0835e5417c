"""Checks a manifest before it is booked: who made it, and that no total contradicts itself."""

from collections.abc import Iterator
from typing import Final

from shared.contracts.manifests import Outcome, PremiumsCharged, Total, head_of
from shared.domain.errors import Refused
from shared.domain.evidence.authors import Authors, NotAuthorizedError

_OF_EVENTS: Final = frozenset(Outcome) - {Outcome.REVERSED}
_OUTCOMES: Final = {
    "settlement": frozenset({Outcome.REVERSED, Outcome.CHARGED}),
    "correction": frozenset({Outcome.REVERSED, Outcome.CHARGED, Outcome.EXCLUDED}),
    "assessment": frozenset({Outcome.REVERSED, Outcome.CHARGED}),
}
"""Outcomes that a manifest of a kind may hold; one of orders holds where events ended."""


def check_author(manifest: PremiumsCharged, authors: Authors) -> None:
    """Raises `NotAuthorizedError` unless the deployment that the manifest names has signed its log entry."""
    author = authors.of_head(head_of(manifest))
    if author.identity != manifest.deployment:
        name = f"manifest {manifest.run}/{manifest.number} of {manifest.deployment}"
        raise NotAuthorizedError("wrong_author", f"{name}: it is signed by {author.name}")


def check_manifest(manifest: PremiumsCharged) -> None:
    """Raises `Refused` for what no charging worker can have meant; the database would refuse most of it, too."""
    for index, total in enumerate(manifest.totals):
        fault = next(_faults(manifest.kind, total), None)
        if fault is not None:
            raise Refused(f"manifest {manifest.run}/{manifest.number}, total {index}: {fault}")


def _faults(kind: str, total: Total) -> Iterator[str]:
    if total.outcome not in _OUTCOMES.get(kind, _OF_EVENTS):
        yield f"{total.outcome} in a manifest of {kind}"
    if total.outcome is Outcome.EXCLUDED and total.insured_on is None:
        yield "excluded without an insured day"
    match total.outcome:
        case Outcome.CHARGED | Outcome.REVERSED:
            yield from _money_faults(total)
        case _:
            if total.premium:
                yield f"{total.outcome} with a premium of {total.premium}"


def _money_faults(total: Total) -> Iterator[str]:
    named = (total.insured_on, total.province, total.industry, total.tariff_line)
    if any(value is None for value in named):
        yield f"{total.outcome} without day, province, industry or tariff line"
    if total.premium % total.orders:
        yield f"{total.orders} orders at one amount cannot sum to {total.premium}"
    if (total.premium < 0) != (total.outcome is Outcome.REVERSED) and total.premium:
        yield f"{total.outcome} with a premium of {total.premium}"
