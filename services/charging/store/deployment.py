"""Which of charging's deployments this database, and whoever writes into it, belongs to (docs/decisions/0012)."""

from shared.adapters.postgres.pool import Connection
from shared.contracts.manifests import ALONE
from shared.domain.errors import Stop


async def read_deployment(connection: Connection) -> str:
    """Whose database this is."""
    return await connection.fetchval("select name from charging.deployment") or ALONE


async def claim_database(connection: Connection, deployment: str) -> None:
    """Write down whose database this is; raises Stop where it is another deployment's."""
    await connection.execute("insert into charging.deployment (name) values ($1) on conflict do nothing", deployment)
    if (owner := await read_deployment(connection)) != deployment:
        raise Stop(f"this database is of the deployment {owner!r}, and DANBAO_DEPLOYMENT is {deployment!r}")


def own_group(group: str, deployment: str) -> str:
    """The Kafka group of a deployment's workers: each deployment reads for itself."""
    return group if deployment == ALONE else f"{group}.{deployment}"
