"""Defines who may do what on Kafka: the one table. ACLs, quotas, logins, docs and tests are made from it.

What is not in the table is refused. `setup`, the principal of the job that makes topics, logins and ACLs, is a super
user of the cluster and therefore has no row. In Kafka, a principal that may read or write a topic may describe it, and
one that may write to any topic may use an idempotent producer; none has a transactional id. Internal topics are read
without a group, so only charging, whose workers share out the orders topics, may join one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, NamedTuple

from shared.contracts.topics import (
    DAYS_CLOSED,
    DAYS_CLOSING,
    DAYS_COUNTED,
    INJURIES,
    INTERNAL,
    MANIFESTS,
    ORDERS_PREFIX,
    REMITTANCES,
    STATEMENTS,
    TOTALS,
    orders_topic,
)

SETUP: Final = "setup"
BROKER: Final = "broker"
"""What brokers and controllers log in to each other as."""
SUPER_USERS: Final = (BROKER, f"{SETUP}-a", f"{SETUP}-b")
LOGINS: Final = ("a", "b")
"""Two logins of equal rights for each principal: one is replaced while the other works."""
ENTERPRISE_PREFIX: Final = "enterprise-"


class Operation(StrEnum):
    """What an ACL allows, as Kafka names it."""

    READ = "Read"
    WRITE = "Write"
    DESCRIBE_CONFIGS = "DescribeConfigs"


class Topics(NamedTuple):
    """One topic, or all whose names begin so."""

    name: str
    is_prefix: bool = False


@dataclass(frozen=True, slots=True)
class Rights:
    """What one principal may do; rates are for each of its logins on each broker."""

    reads: tuple[Topics, ...] = ()
    writes: tuple[Topics, ...] = ()
    asks_settings_of: tuple[Topics, ...] = ()
    groups: str | None = None
    """Prefix of the consumer groups that it may join and commit in; None where partitions are assigned by hand."""
    produces_bytes: int = 0
    """Most bytes a second; slower is what Kafka makes a client that sends more."""
    request_percent: int = 100
    """Most of the time of one of the broker's threads."""


class Binding(NamedTuple):
    """One ACL: this login may do this on this resource, from any address."""

    login: str
    resource: Literal["topic", "group"]
    name: str
    is_prefix: bool
    operation: Operation


_ORDERS: Final = Topics(ORDERS_PREFIX, is_prefix=True)
_MIB: Final = 1024 * 1024


def _topics(*names: str) -> tuple[Topics, ...]:
    return tuple(map(Topics, names))


FIXED: Final[Mapping[str, Rights]] = {
    # Charging writes to enterprises' topics only what it sends again after a mend: parked events, byte for byte.
    "charging": Rights(
        reads=(_ORDERS, *_topics(DAYS_CLOSING)),
        writes=(_ORDERS, *_topics(MANIFESTS, DAYS_COUNTED)),
        asks_settings_of=(_ORDERS,),
        groups="charging",
        produces_bytes=64 * _MIB,
        request_percent=400,
    ),
    "ledger": Rights(
        reads=_topics(MANIFESTS, DAYS_COUNTED, REMITTANCES),
        writes=_topics(DAYS_CLOSING, DAYS_CLOSED, STATEMENTS),
        produces_bytes=64 * _MIB,
        request_percent=200,
    ),
    # Faces people, so it writes nothing at all and has no producer.
    "reporting": Rights(
        reads=_topics(DAYS_CLOSED, STATEMENTS, INJURIES, REMITTANCES, TOTALS, MANIFESTS),
        request_percent=200,
    ),
    "bank": Rights(writes=_topics(REMITTANCES), produces_bytes=_MIB),
    "injuries": Rights(writes=_topics(INJURIES), produces_bytes=_MIB),
    "meters": Rights(writes=_topics(TOTALS), produces_bytes=_MIB),
}
"""The principals of every deployment; each enterprise is one more."""
ENTERPRISE_BYTES: Final = 8 * _MIB
SERVICES: Final = ("charging", "ledger", "reporting")
ORDER_MESSAGE_BYTES: Final = _MIB
"""A larger batch of records is refused at the enterprise's own producer."""
INTERNAL_MESSAGE_BYTES: Final = 32 * _MIB
"""A manifest may have a total for each of its events."""


def rights_of(usccs: Iterable[str]) -> dict[str, Rights]:
    """The whole table: the fixed principals, and one for each of these enterprises."""
    return {**FIXED, **{enterprise_principal(uscc): _enterprise(uscc) for uscc in sorted(usccs)}}


def enterprise_principal(uscc: str) -> str:
    """The principal of the enterprise with this code."""
    return ENTERPRISE_PREFIX + uscc


def _enterprise(uscc: str) -> Rights:
    return Rights(writes=_topics(orders_topic(uscc)), produces_bytes=ENTERPRISE_BYTES)


def topics_used_by(principal: str) -> tuple[str, ...]:
    """The topics with fixed names that a fixed principal reads or writes."""
    rights = FIXED[principal]
    return tuple(topic.name for topic in (*rights.reads, *rights.writes) if not topic.is_prefix)


def logins_of(principal: str) -> tuple[str, ...]:
    """The names that a principal logs in under."""
    return tuple(f"{principal}-{letter}" for letter in LOGINS)


def bindings_of(principal: str, rights: Rights, logins: Iterable[str] | None = None) -> frozenset[Binding]:
    """The ACLs of a principal, for all of its logins or for these only."""
    allowed = (
        (Operation.READ, rights.reads),
        (Operation.WRITE, rights.writes),
        (Operation.DESCRIBE_CONFIGS, rights.asks_settings_of),
    )
    bindings = set()
    for login in logins_of(principal) if logins is None else logins:
        for operation, topics in allowed:
            bindings |= {Binding(login, "topic", topic.name, topic.is_prefix, operation) for topic in topics}
        if rights.groups is not None:
            bindings.add(Binding(login, "group", rights.groups, True, Operation.READ))
    return frozenset(bindings)


def may(rights: Rights, operation: Operation, resource: Literal["topic", "group"], name: str) -> bool:
    """Whether the table allows this; what tests hold the broker's answers against."""
    if resource == "group":
        return operation is Operation.READ and rights.groups is not None and name.startswith(rights.groups)
    topics = {
        Operation.READ: rights.reads,
        Operation.WRITE: rights.writes,
        Operation.DESCRIBE_CONFIGS: rights.asks_settings_of,
    }
    return any(name.startswith(topic.name) if topic.is_prefix else name == topic.name for topic in topics[operation])


def topic_settings(topic: str, timestamps: str) -> dict[str, str]:
    """Kafka's settings of a topic that the setup job holds; all others are the operator's."""
    most = INTERNAL_MESSAGE_BYTES if topic in INTERNAL else ORDER_MESSAGE_BYTES
    return {"message.timestamp.type": timestamps, "max.message.bytes": str(most)}
