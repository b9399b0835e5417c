"""The table of rights on Apache Kafka: each login sends every request, and only what the table says is allowed.

What is refused has no effect: topics, their settings and ends, groups' offsets, ACLs and users are as before.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol import commit, offset

from services.cli.cluster.setup import check, set_up
from services.demo.running.system import settings_of
from shared.adapters.kafka.admin.cluster_admin import open_cluster
from shared.adapters.kafka.clients import ensure_topics
from shared.adapters.kafka.security import Client, client_options
from shared.contracts.topic_rights import (
    FIXED,
    Operation,
    Rights,
    enterprise_principal,
    may,
    rights_of,
    topic_settings,
)
from shared.contracts.topics import INTERNAL, orders_topic
from shared.domain.errors import Refused
from shared.runtime.command_settings import CommandSettings
from shared.runtime.settings import HOUSE
from tests.attacks.kafka import kafka_cells as cells
from tests.attacks.kafka.kafka_cells import Cell, Login, Outcome
from tests.support.apache_kafka import ApacheKafka
from tests.support.servers import Broker
from tests.support.waiting import eventually_async

ONE, OTHER = "91000000FAKE00001F", "91000000FAKE00002J"
"""Two enterprises of the demo's scheme."""
PRIVATE: Final = "somebody-elses"
TOPICS: Final = (*INTERNAL, orders_topic(ONE), orders_topic(OTHER), PRIVATE)
GROUPS: Final = ("charging", "charging.south", "ledger-premiums.charged.v1", "reporting.days", "of-my-own")
PRINCIPALS: Final = (*FIXED, enterprise_principal(ONE), enterprise_principal(OTHER), "stranger")
SCHEME: Final = [HOUSE / "deploy" / "tariffs", HOUSE / "deploy" / "demo"]
TABLE: Final = {**rights_of([ONE, OTHER]), "stranger": Rights()}


@dataclass(frozen=True, slots=True)
class Secured:
    """A node with the table's rights, its topics, and a login that is in no row of the table."""

    kafka: ApacheKafka

    def settings(self, login: str, **other: Any) -> CommandSettings:
        """The settings of this login."""
        principal = login.rpartition("-")[0] or login
        variables = self.kafka.variables(principal) | {"DANBAO_KAFKA_USER": login}
        variables["DANBAO_KAFKA_PASSWORD_FILE"] = str(self.kafka.logins.parent / "strangers" / login)
        if (self.kafka.logins / login).exists():
            variables["DANBAO_KAFKA_PASSWORD_FILE"] = str(self.kafka.logins / login)
        return settings_of(variables).model_copy(update=other)

    def client(self, login: str) -> Client:
        """What a client of this login is made with."""
        return client_options(self.settings(login))


@pytest.fixture(scope="module")
def node(broker: Broker) -> Iterator[ApacheKafka]:
    """A separate node: the tests change its state."""
    if not isinstance(broker, ApacheKafka):
        pytest.skip("the embedded broker knows no identities: make test-kafka")
    with ApacheKafka() as kafka:
        yield kafka


@pytest.fixture(scope="module")
async def secured(node: ApacheKafka) -> Secured:
    secured = Secured(node)
    node.set_up([*FIXED, enterprise_principal(ONE), enterprise_principal(OTHER)])
    strangers = node.logins.parent / "strangers"
    strangers.mkdir()
    (strangers / "stranger-a").write_text("let me in, please\n")
    async with open_cluster(secured.settings("setup-a")) as cluster:
        await cluster.set_users({"stranger-a": "let me in, please"}, removed=())
    await ensure_topics(secured.settings("setup-a"), dict.fromkeys(TOPICS, 1))
    async with cells.logged_in(secured.client("setup-a")) as login:
        await eventually_async(lambda: cells.has_coordinators(login), "the topics of groups and transactions")
    return secured


async def snapshot(secured: Secured) -> dict[str, Any]:
    """All that a refusal must leave as it is."""
    async with open_cluster(secured.settings("setup-a")) as cluster:
        state: dict[str, Any] = {
            "topics": await cluster.topics(),
            "settings": await cluster.settings_of(TOPICS),
            "acls": await cluster.acls(),
            "users": await cluster.users(),
        }
    async with cells.logged_in(secured.client("setup-a")) as login:
        for when, name in ((-2, "beginnings"), (-1, "ends")):
            answer = await login.send(offset.OffsetRequest(-1, 0, [(topic, [(0, when)]) for topic in TOPICS]))
            state[name] = {topic: parts[0][3] for topic, parts in answer.topics}
        state["offsets"] = {group: await _offsets(login, group) for group in GROUPS}
    return state


async def _offsets(login: Login, group: str) -> list[Any]:
    answer = await login.send(commit.OffsetFetchRequest(group, None))
    return [(topic, [part[:2] for part in parts]) for topic, parts in answer.topics]


def allowed(rights: Rights, cell: Cell) -> bool:
    """What the table says about a cell."""
    verb, what = cell
    reads, writes = may(rights, Operation.READ, "topic", what), may(rights, Operation.WRITE, "topic", what)
    in_group = may(rights, Operation.READ, "group", what)
    return {
        "read": reads,
        "write": writes,
        "list offsets": reads or writes,
        "describe configs": may(rights, Operation.DESCRIBE_CONFIGS, "topic", what),
        "find": in_group,
        "join": in_group,
        "commit": in_group and any(may(rights, Operation.READ, "topic", topic) for topic in [_committed(rights)]),
        "describe": in_group,
    }.get(verb, False)


def _committed(rights: Rights) -> str:
    """A topic that the principal reads, if there is one: commits are tried on it."""
    return next((topic for topic in TOPICS if may(rights, Operation.READ, "topic", topic)), PRIVATE)


@pytest.mark.parametrize("login", [*(f"{principal}-a" for principal in PRINCIPALS), "charging-b"])
async def test_everything_is_refused_but_what_the_table_says(secured: Secured, login: str) -> None:
    principal = login.rpartition("-")[0]
    rights, before = TABLE[principal], await snapshot(secured)
    async with cells.logged_in(secured.client(login)) as probe:
        outcomes: dict[Cell, Outcome] = {
            **await cells.probe_topics(probe, TOPICS),
            **await cells.change_topics(probe, TOPICS),
            **await cells.probe_groups(probe, GROUPS, _committed(rights)),
            **await cells.open_transactions(probe, ("charging", "ledger", login, "of-my-own")),
            **await cells.rule(probe, "charging-a"),
        }
    assert len(outcomes) == len(TOPICS) * 8 + 1 + len(GROUPS) * 5 + 4 + 6
    assert outcomes == {cell: "allowed" if allowed(rights, cell) else "refused" for cell in outcomes}
    after = await snapshot(secured)
    written = {topic for topic in TOPICS if may(rights, Operation.WRITE, "topic", topic)}
    assert {topic for topic in TOPICS if after["ends"][topic] != before["ends"][topic]} == written
    own = {group for group in GROUPS if may(rights, Operation.READ, "group", group)}
    assert {group for group in GROUPS if after["offsets"][group] != before["offsets"][group]} <= own
    for name in ("topics", "settings", "acls", "users", "beginnings"):
        assert after[name] == before[name], name


async def test_nobody_sees_a_topic_that_is_not_theirs(secured: Secured) -> None:
    listed = {}
    for principal in PRINCIPALS:
        admin = AIOKafkaAdminClient(**secured.client(f"{principal}-a"))
        await admin.start()
        listed[principal] = set(await admin.list_topics())
        await admin.close()
    assert listed == {
        principal: {
            topic
            for topic in TOPICS
            if may(rights, Operation.READ, "topic", topic) or may(rights, Operation.WRITE, "topic", topic)
        }
        for principal, rights in TABLE.items()
        if principal in PRINCIPALS
    }


async def test_a_service_that_lacks_a_topic_is_told_who_makes_it(secured: Secured) -> None:
    charging = secured.settings("charging-a")
    await ensure_topics(charging, {orders_topic(ONE): 4})
    with pytest.raises(Refused, match=f"no topic {cells.NEW_TOPIC}, and charging-a may not make any: `danbao kafka"):
        await ensure_topics(charging, {orders_topic(ONE): 4, cells.NEW_TOPIC: 4})


async def test_the_setup_makes_what_is_missing_says_what_is_strange_and_removes_it(
    secured: Secured,
) -> None:
    """Run last: it leaves the node as the demo's scheme wants it."""
    settings = secured.settings("setup-a", kafka_logins=secured.kafka.logins, scheme=SCHEME)
    seen = await check(settings)
    assert f"topic {PRIVATE} is in no row of the table" in seen.strange
    assert "login stranger-a has a password and no file" in seen.strange
    async with open_cluster(settings) as cluster:
        await cluster.add_acls([(2, "orders.v1.", 4, "User:stranger-a", "*", 3, 3)])
        await cluster.set_topics({orders_topic(ONE): {"message.timestamp.type": "CreateTime"}})
    # A login whose file is gone loses its rights; the other one of the principal keeps them.
    (secured.kafka.logins / "bank-b").unlink()
    reported = await set_up(settings, removes=False)
    assert "User:stranger-a may Read topic orders.v1.*: not in the table" in reported.strange
    assert f"topic {orders_topic(ONE)}: message.timestamp.type=LogAppendTime" in reported.changed
    assert any(line.startswith("topic orders.v1.91000000FAKE00003") for line in reported.changed)
    reported = await set_up(settings, removes=True)
    assert reported.strange == [f"topic {PRIVATE} is in no row of the table"]
    assert {line for line in reported.changed if line.startswith("removed")} == {
        "removed: User:stranger-a may Read topic orders.v1.*: not in the table",
        "removed: login stranger-a has a password and no file",
        "removed: User:bank-b may Write topic remittances.v1: not in the table",
        "removed: login bank-b has a password and no file",
    }
    assert (await check(settings)).changed == []
    async with open_cluster(settings) as cluster:
        kept = await cluster.settings_of([orders_topic(ONE)])
        assert kept[orders_topic(ONE)].items() >= topic_settings(orders_topic(ONE), "LogAppendTime").items()
        assert {"stranger-a", "bank-a", "bank-b"} & await cluster.users() == {"bank-a"}
    with pytest.raises(Refused, match="wrong user or password of stranger-a"):
        await ensure_topics(secured.settings("stranger-a"), {})
