"""Check for quarantined messages without a review: a person has to explain a message that is in no book."""

from collections.abc import Sequence

from services.audit.verdict import Verdict
from shared.adapters.postgres.pool import Connection


async def check_quarantine(connection: Connection, charging: Sequence[Connection], verdict: Verdict) -> None:
    """The quarantines of ledger, reporting and every deployment of charging."""
    check = verdict.check("I2", "every message between services is handled, or a person has reviewed why it is not")
    places = [("ledger", connection), ("reporting", connection), *(("charging", database) for database in charging)]
    for schema, place in places:
        rows = await place.fetch(
            f"""select refused_id, topic, reason from {schema}.refused_message m
            where not exists (select from {schema}.refused_review r where r.refused_id = m.refused_id)
            order by refused_id"""
        )
        for row in rows:
            check.find(f"{schema}.refused_message {row['refused_id']}: {row['topic']}: {row['reason']}: not reviewed")
