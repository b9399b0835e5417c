"""`danbao kafka setup` and `danbao kafka check`: bring the cluster to the table of rights, or compare the two.

Run again it changes nothing. It never deletes a topic: what is in it may be wanted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from services.cli.cluster.logins import read_logins
from shared.adapters.files.scheme import load_scheme
from shared.adapters.kafka.admin.cluster_admin import Acl, Cluster, acl_of, open_cluster, words
from shared.contracts.topic_rights import BROKER, Rights, bindings_of, logins_of, rights_of, topic_settings
from shared.contracts.topics import INTERNAL, orders_topic
from shared.runtime.command_settings import CommandSettings

ORDERED: Final = 1_000
"""ACLs in one request; more take several."""


@dataclass
class Report:
    """Changes made or needed, and what exists without being in the table."""

    changed: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The table of rights for this deployment."""

    rights: Mapping[str, Rights]
    logins: Mapping[str, tuple[str, ...]]
    """Principal to the logins that it has now."""
    passwords: Mapping[str, str] | None
    """None where users are kept elsewhere: certificates, tokens, or a managed Kafka's user store."""
    topics: Mapping[str, int]
    timestamps: str
    own_login: str
    """The job's login, which it must not remove."""

    @classmethod
    def of(cls, settings: CommandSettings) -> "Wanted":
        """Read the scheme and the folder of passwords."""
        usccs = sorted(load_scheme(settings.scheme).enterprises)
        rights = rights_of(usccs)
        passwords = None if settings.kafka_logins is None else read_logins(settings.kafka_logins, rights)
        logins = {
            principal: tuple(name for name in logins_of(principal) if passwords is None or name in passwords)
            for principal in rights
        }
        orders = {orders_topic(uscc): settings.order_partitions for uscc in usccs}
        return cls(
            rights,
            logins,
            passwords,
            dict.fromkeys(INTERNAL, 1) | orders,
            settings.topic_timestamps,
            settings.kafka_user,
        )

    def acls(self) -> set[Acl]:
        """Return exactly the ACLs that have to exist."""
        return {
            acl_of(binding)
            for principal, rights in self.rights.items()
            for binding in bindings_of(principal, rights, self.logins[principal])
        }

    def quotas(self) -> dict[str, dict[str, float | None]]:
        """Return the quotas of every login."""
        return {
            login: {
                "producer_byte_rate": float(rights.produces_bytes) if rights.writes else None,
                "request_percentage": float(rights.request_percent),
            }
            for principal, rights in self.rights.items()
            for login in self.logins[principal]
        }

    def users(self) -> set[str]:
        """Return all logins that may have a password."""
        return {BROKER, self.own_login, *(self.passwords or {})}


async def set_up(settings: CommandSettings, *, removes: bool) -> Report:
    """Make topics, logins, ACLs and quotas; `removes` takes away the logins and ACLs that the table does not have."""
    wanted = Wanted.of(settings)
    async with open_cluster(settings) as cluster:
        report = await _compare(cluster, wanted)
        await _change(cluster, wanted, settings.topic_replicas)
        if removes:
            report = await _remove(cluster, wanted, report)
    return report


async def grant(settings: CommandSettings) -> None:
    """Give every principal its login, rights and quotas, and leave the topics to others."""
    wanted = Wanted.of(settings)
    async with open_cluster(settings) as cluster:
        await _grant(cluster, wanted)


async def check(settings: CommandSettings) -> Report:
    """Report what is missing and what exists without being in the table; change nothing."""
    wanted = Wanted.of(settings)
    async with open_cluster(settings) as cluster:
        return await _compare(cluster, wanted)


async def _compare(cluster: Cluster, wanted: Wanted) -> Report:
    report = Report()
    topics, acls = await cluster.topics(), await cluster.acls()
    report.changed += [f"topic {name}" for name in sorted(wanted.topics.keys() - topics)]
    report.strange += [f"topic {name} is in no row of the table" for name in sorted(topics - wanted.topics.keys())]
    for topic, own in sorted((await _drifted(cluster, wanted, topics)).items()):
        report.changed += [f"topic {topic}: {name}={value}" for name, value in sorted(own.items())]
    report.changed += [words(acl) for acl in sorted(wanted.acls() - acls)]
    report.strange += [f"{words(acl)}: not in the table" for acl in sorted(acls - wanted.acls())]
    if wanted.passwords is not None:
        users = await cluster.users()
        report.changed += [f"login {name}" for name in sorted(wanted.passwords.keys() - users)]
        report.strange += [f"login {name} has a password and no file" for name in sorted(users - wanted.users())]
    return report


async def _drifted(cluster: Cluster, wanted: Wanted, topics: set[str]) -> dict[str, dict[str, str]]:
    """Return topics whose settings differ from the table's, with the settings that they should have."""
    current = await cluster.settings_of(wanted.topics.keys() & topics)
    drifted = {}
    for topic, has in current.items():
        own = topic_settings(topic, wanted.timestamps)
        if other := {name: value for name, value in own.items() if has.get(name) != value}:
            drifted[topic] = other
    return drifted


async def _change(cluster: Cluster, wanted: Wanted, replicas: int) -> None:
    topics = await cluster.topics()
    missing = {
        name: (count, topic_settings(name, wanted.timestamps))
        for name, count in wanted.topics.items()
        if name not in topics
    }
    if missing:
        await cluster.make_topics(missing, replicas)
    if drifted := await _drifted(cluster, wanted, topics):
        await cluster.set_topics(drifted)
    await _grant(cluster, wanted)


async def _grant(cluster: Cluster, wanted: Wanted) -> None:
    if wanted.passwords:
        await cluster.set_users(wanted.passwords, removed=())
    lacking = sorted(wanted.acls() - await cluster.acls())
    for start in range(0, len(lacking), ORDERED):
        await cluster.add_acls(lacking[start : start + ORDERED])
    await cluster.set_quotas(wanted.quotas())


async def _remove(cluster: Cluster, wanted: Wanted, report: Report) -> Report:
    """Remove what is not in the table, except topics; the new report lists the removals as changes."""
    kept = [line for line in report.strange if line.startswith("topic ")]
    if acls := await cluster.acls() - wanted.acls():
        await cluster.remove_acls(acls)
    if wanted.passwords is not None and (users := await cluster.users() - wanted.users()):
        await cluster.set_users({}, removed=users)
    removed = [f"removed: {line}" for line in report.strange if line not in kept]
    return Report(report.changed + removed, kept)
