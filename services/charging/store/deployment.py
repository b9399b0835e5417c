"""The deployment that a database of charging belongs to, and the enterprises registered in it (docs/decisions/0012)."""

from collections.abc import Iterable

from shared.adapters.postgres.pool import Connection, Pool
from shared.contracts.manifests import ALONE
from shared.domain.errors import Stop


async def read_deployment(connection: Connection) -> str:
    """Read which deployment owns this database."""
    return await connection.fetchval("select name from charging.deployment") or ALONE


async def claim_database(connection: Connection, deployment: str) -> None:
    """Record which deployment owns this database; raises Stop where another one does."""
    await connection.execute("insert into charging.deployment (name) values ($1) on conflict do nothing", deployment)
    if (owner := await read_deployment(connection)) != deployment:
        raise Stop(f"this database is of the deployment {owner!r}, and DANBAO_DEPLOYMENT is {deployment!r}")


def own_group(group: str, deployment: str) -> str:
    """The Kafka group of a deployment's workers: each deployment reads for itself."""
    return group if deployment == ALONE else f"{group}.{deployment}"


async def register_enterprises(pool: Pool, usccs: Iterable[str]) -> dict[str, int]:
    """Give every enterprise its small number, once; returns the numbers of all that were ever registered."""
    await pool.execute(
        "insert into charging.enterprise (uscc) select u from unnest($1::text[]) u"
        " where not exists (select 1 from charging.enterprise e where e.uscc = u) order by u on conflict do nothing",
        sorted(usccs),
    )
    return {row["uscc"]: row["id"] for row in await pool.fetch("select uscc, id from charging.enterprise")}
