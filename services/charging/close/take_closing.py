"""Take a question of the topic days.closing.v1: answer it, or refuse it with a reason; never wait or stop for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from sqlalchemy import Text, any_, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from services.charging.close.count_day import count_day
from services.charging.tables import manifest, run
from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.postgres.pool import Pool
from shared.adapters.postgres.queries.statements import query
from shared.contracts.manifests import DayClosing
from shared.contracts.quarantine import Message, Quarantined, QuarantineReason
from shared.domain.calendar import day_bounds
from shared.domain.scheme.rating import Scheme
from shared.domain.times import shown_time

DECODER: Final = msgspec.json.Decoder(DayClosing)


class _LastNumber(msgspec.Struct, frozen=True):
    run: str
    last: int


_LAST_NUMBERS: Final = query(
    select(
        run.c.run,
        func.coalesce(
            select(func.max(manifest.c.number)).where(manifest.c.run_id == run.c.id).scalar_subquery(), 0
        ).label("last"),
    ).where(run.c.run == any_(bindparam("runs", type_=ARRAY(Text)))),
    _LastNumber,
)


@dataclass(frozen=True, slots=True)
class ClosingRules:
    """Rules that a closing question must satisfy.

    `is_alone`: there is one deployment, so a run that it does not know does not exist. `by_clock`: days are closed by
    the clock, so a question about a day that is not over at its record time is refused; not where a month is simulated.
    """

    gap_days: int = 7
    is_alone: bool = True
    by_clock: bool = True


async def take_closing(pool: Pool, scheme: Scheme, message: Message, author: AuthorSigner, rules: ClosingRules) -> None:
    """Answer through the outbox; raises for a question that is not of the agreed shape, or absurd."""
    closing = DECODER.decode(message.body)
    if rules.by_clock and message.recorded_at < day_bounds(closing.day)[1]:
        raise _absurd(closing, f"requested at {shown_time(message.recorded_at)}, before the day was over")
    await _check_cut(pool, closing, is_alone=rules.is_alone)
    await count_day(pool, scheme, closing, author, rules.gap_days)


async def _check_cut(pool: Pool, closing: DayClosing, *, is_alone: bool) -> None:
    """A cut reaches no further than what was written, and holds the one of the day before."""
    last = {row.run: row.last for row in await _LAST_NUMBERS.fetch(pool, runs=list(closing.cut))}
    if is_alone and (unknown := sorted(closing.cut.keys() - last.keys())):
        raise _absurd(closing, f"its cut names runs that are not charging's: {', '.join(unknown[:5])}")
    beyond = {run: number for run, number in closing.cut.items() if number > last.get(run, number)}
    if beyond:
        raise _absurd(closing, f"its cut reaches beyond what was written: {_few(beyond)}")
    behind = {run: number for run, number in closing.previous_cut.items() if number > closing.cut.get(run, 0)}
    if behind:
        raise _absurd(closing, f"its cut falls behind that of the day before: {_few(behind)}")


def _absurd(closing: DayClosing, why: str) -> Quarantined:
    return Quarantined(QuarantineReason.ABSURD, f"close of {closing.day}, attempt {closing.attempt}: {why}")


def _few(cut: Mapping[str, int]) -> str:
    return ", ".join(f"{run}/{number}" for run, number in sorted(cut.items())[:5])
