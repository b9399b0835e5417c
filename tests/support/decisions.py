"""Decisions of the tests' operator, as a route stores them."""

from shared.adapters.postgres.decisions import Decision, Decisions
from shared.adapters.postgres.pool import Pool
from shared.domain.evidence.authors import Role
from shared.runtime.persons import Person
from tests.support.authors import OPERATOR


async def store_decision(pool: Pool, schema: str = "charging") -> Decision:
    """One that allows a correction."""
    return await Decisions(pool, schema).store(Person(OPERATOR.author.identity, Role.OPERATOR), "a test", {})
