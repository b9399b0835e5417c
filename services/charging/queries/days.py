"""Questions about what is committed, and about whole days. Reads only."""

from datetime import date
from typing import Any

from services.charging.rows.row_kinds import EXCLUSION_REASONS, is_charge_sql
from services.charging.store.archived_days import refuse_archived
from services.charging.store.cut import IN_CUT, read_counted_cut
from services.charging.store.manifests import signed_payload
from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.postgres.pool import Pool
from shared.domain.calendar import day_bounds


class Lookup:
    """Reads charging's schema."""

    def __init__(self, pool: Pool, author: AuthorSigner) -> None:
        self._pool, self._author = pool, author

    async def runs(self) -> dict[str, int]:
        """The last committed number of every run that published manifests of its own."""
        rows = await self._pool.fetch(
            "select run, max(number) as last from charging.run join charging.manifest on run_id = id"
            " where purpose <> 'close' group by run"
        )
        return {row["run"]: row["last"] for row in rows}

    async def positions(self, cluster_id: str | None) -> list[dict[str, Any]]:
        """How far each partition of the cluster is charged."""
        rows = await self._pool.fetch(
            "select topic, partition, next_offset, events from charging.position where cluster_id = $1 order by 1, 2",
            cluster_id,
        )
        return [dict(row) for row in rows]

    async def unpublished(self) -> int:
        """Messages written and not yet handed to the broker."""
        return int(await self._pool.fetchval("select count(*) from charging.outbox"))

    async def parked_counts(self) -> dict[str, int]:
        """Parked events that were not sent again, by reason."""
        rows = await self._pool.fetch(
            "select reason, count(*) as n from charging.parked p where not exists"
            " (select 1 from charging.resent r where (r.batch, r.leaf_index) = (p.batch, p.leaf_index))"
            " group by 1 order by 1"
        )
        return {row["reason"]: row["n"] for row in rows}

    async def alarms(self) -> list[str]:
        """What a person has to look at: quarantined messages that nobody has reviewed, by topic and reason."""
        rows = await self._pool.fetch(
            "select topic, reason, count(*) as n from charging.refused_message m where not exists"
            " (select from charging.refused_review r where r.refused_id = m.refused_id) group by 1, 2 order by 1, 2"
        )
        return [f"message_refused: {row['topic']}: {row['reason']}: {row['n']}" for row in rows]

    async def manifest(self, run: str, number: int) -> bytes | None:
        """A manifest as it was published; one of a version before manifests were signed is signed now.

        The same key signs the same bytes alike, so it is the same answer each time.
        """
        sql = "select payload from charging.manifest join charging.run on run_id = id where (run, number) = ($1, $2)"
        found: bytes | None = await self._pool.fetchval(sql, run, number)
        return None if found is None else signed_payload(found, self._author)

    async def registrations(self, day: date, province: str, after: str, limit: int) -> list[str]:
        """Tokens of workers first charged in the province by the close of that day, ascending, after a token."""
        rows = await self._pool.fetch(
            "select encode(worker, 'hex') from charging.participant where first_on = $1 and province = $2"
            " and worker > decode($3, 'hex') order by worker limit $4",
            day, int(province), after, limit,
        )  # fmt: skip
        return [row[0] for row in rows]

    async def employee_exclusions(self, day: date, province: str) -> list[dict[str, Any]]:
        """Orders accepted on the day, within its cut, that were excluded because the worker is an employee."""
        await refuse_archived(self._pool, day)
        async with self._pool.acquire() as connection:
            cut = await read_counted_cut(connection, day)
            if cut is None:
                return []
            begin, end = day_bounds(day)
            rows = await connection.fetch(
                f"""select e.uscc as enterprise, encode(int8send(worker_key) || worker_rest, 'hex') as worker_id,
                    employer_insurance_no, count(*) as orders
                from charging.entry join charging.enterprise e on e.id = enterprise
                where {is_charge_sql("entry")} and reason = $5 and region / 10000 = $4
                    and accepted_at >= $2 and accepted_at < $3
                    and {IN_CUT}
                group by 1, 2, 3 order by 1, 2, 3""",
                cut.lasts, begin, end, int(province), EXCLUSION_REASONS.index("insured_as_employee"),
            )  # fmt: skip
        return [dict(row) for row in rows]
