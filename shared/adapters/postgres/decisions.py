"""Stores who decided what, before it is carried out, in the table `decision` of the service's schema.

The person is the one whose signed assertion came with the request. Rows that a decision made refer to it; what the
service did by its clock refers to none.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from shared.adapters.postgres.pool import Pool
from shared.runtime.persons import Person

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Decision:
    """A stored decision: its number, and the account of its person."""

    decision_id: int
    person: str


class Decisions:
    """The table of one schema."""

    def __init__(self, pool: Pool, schema: str) -> None:
        self._pool, self._schema = pool, schema

    async def store(self, person: Person, request: str, content: Mapping[str, Any]) -> Decision:
        """Store that a person decided something: the request (method and path), and its body as JSON has it."""
        number = await self._pool.fetchval(
            f"""insert into {self._schema}.decision (person, request, content) values ($1, $2, $3::text::jsonb)
            returning decision_id""",
            person.account, request, json.dumps(content, ensure_ascii=False),
        )  # fmt: skip
        log.info("decided", decision=number, person=person.account, request=request)
        return Decision(number, person.account)

    async def list_from(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Decisions behind a number, the oldest first."""
        rows = await self._pool.fetch(
            f"""select decision_id, decided_at, person, request, content::text as content from {self._schema}.decision
            where decision_id > $1 order by decision_id limit $2""",
            after, limit,
        )  # fmt: skip
        return [dict(row) | {"content": json.loads(row["content"])} for row in rows]
