"""Reads and changes a cluster for the setup job: ACLs, SCRAM users, quotas, topics and their settings."""

import hashlib
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from shared.adapters.kafka.admin import admin_protocol as protocol
from shared.adapters.kafka.admin.admin_protocol import AdminRequest, Api
from shared.adapters.kafka.login import check_login
from shared.adapters.kafka.security import client_options
from shared.contracts.topic_rights import Binding, Operation
from shared.domain.errors import Refused
from shared.runtime.settings import Settings

ITERATIONS: Final = 4_096
"""Of SCRAM: passwords are random and long, and each connection pays for them."""
NO_SUCH_USER: Final = 91
_SHA_512: Final = 2
_ALLOW, _ANY = 3, 1
_RESOURCES: Final = {"topic": 2, "group": 3}
_PATTERNS: Final = {False: 3, True: 4}
_OPERATIONS: Final = {Operation.READ: 3, Operation.WRITE: 4, Operation.DESCRIBE_CONFIGS: 10}
_NAMES: Final = {
    "resource": {2: "topic", 3: "group", 4: "cluster", 5: "transactional id", 6: "delegation token", 7: "user"},
    "operation": {
        2: "All", 3: "Read", 4: "Write", 5: "Create", 6: "Delete", 7: "Alter", 8: "Describe", 9: "ClusterAction",
        10: "DescribeConfigs", 11: "AlterConfigs", 12: "IdempotentWrite", 13: "CreateTokens", 14: "DescribeTokens",
        15: "TwoPhaseCommit",
    },
}  # fmt: skip
Acl = tuple[int, str, int, str, str, int, int]
"""Resource type, name and pattern, principal, host, operation, permission: Kafka's numbers, in its order."""


@asynccontextmanager
async def open_cluster(settings: Settings) -> AsyncIterator["Cluster"]:
    """The cluster, with this process's login; `Refused` where the login may not do it."""
    await check_login(settings)
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        yield Cluster(admin)
    except KafkaError as error:
        raise Refused(f"Kafka refuses {settings.kafka_user or 'this login'} the set-up: {error!r}") from error
    finally:
        await admin.close()


def acl_of(binding: Binding) -> Acl:
    """A row of the table as Kafka has it."""
    resource, pattern = _RESOURCES[binding.resource], _PATTERNS[binding.is_prefix]
    return resource, binding.name, pattern, f"User:{binding.login}", "*", _OPERATIONS[binding.operation], _ALLOW


def words(acl: Acl) -> str:
    """An ACL for a person."""
    resource, name, pattern, principal, host, operation, permission = acl
    kind = _NAMES["resource"].get(resource, str(resource))
    return (
        f"{principal} {'may' if permission == _ALLOW else 'may not'} "
        f"{_NAMES['operation'].get(operation, str(operation))} {kind} {name}{'*' if pattern == _PATTERNS[True] else ''}"
        + ("" if host == "*" else f" from {host}")
    )


class Cluster:
    """Reads what is there, and changes what it is handed; a refusal of Kafka is its error."""

    def __init__(self, admin: Any) -> None:
        self._admin = admin

    async def acls(self) -> set[Acl]:
        """Every ACL of the cluster."""
        answer = await self._send(protocol.DESCRIBE_ACLS, _ANY, None, _ANY, None, None, _ANY, _ANY)
        _check(answer.error_code, answer.error_message)
        return {
            (kind, name, pattern, *acl) for kind, name, pattern, acls in answer.resources for acl in map(tuple, acls)
        }

    async def add_acls(self, acls: Iterable[Acl]) -> None:
        """Allow these."""
        answer = await self._send(protocol.CREATE_ACLS, sorted(acls))
        for code, message in answer.results:
            _check(code, message)

    async def remove_acls(self, acls: Iterable[Acl]) -> None:
        """Take exactly these away."""
        answer = await self._send(protocol.DELETE_ACLS, sorted(acls))
        for code, message, _ in answer.results:
            _check(code, message)

    async def users(self) -> set[str]:
        """Everybody who has a SCRAM password."""
        answer = await self._send(protocol.DESCRIBE_USERS, [], {})  # all; none at all is an error in Kafka
        _check(answer.error_code, answer.error_message)
        return {name for name, *_ in answer.results}

    async def set_users(self, passwords: Mapping[str, str], removed: Iterable[str]) -> None:
        """Give these users these passwords, which stay here: Kafka is sent what it checks them with."""
        rows: list[tuple[Any, ...]] = []
        for name, password in sorted(passwords.items()):
            salt = secrets.token_bytes(24)
            salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
            rows.append((name, _SHA_512, ITERATIONS, salt, salted, {}))
        answer = await self._send(protocol.ALTER_USERS, [(name, _SHA_512, {}) for name in sorted(removed)], rows, {})
        for name, code, message, _ in answer.results:
            if code != NO_SUCH_USER:
                _check(code, f"{name}: {message}")

    async def set_quotas(self, quotas: Mapping[str, Mapping[str, float | None]]) -> None:
        """Set each user's quotas, or take away those that are None."""
        entries = [
            ([("user", name)], [(key, value or 0.0, value is None) for key, value in sorted(values.items())])
            for name, values in sorted(quotas.items())
        ]
        answer = await self._send(protocol.ALTER_QUOTAS, entries, False)
        for code, message, _ in answer.entries:
            _check(code, message)

    async def topics(self) -> set[str]:
        """Every topic but Kafka's own."""
        return {topic for topic in await self._admin.list_topics() if not topic.startswith("__")}

    async def make_topics(self, topics: Mapping[str, tuple[int, Mapping[str, str]]], replicas: int) -> None:
        """Make topics with so many partitions and these settings."""
        wanted = [NewTopic(name, count, replicas, topic_configs=dict(own)) for name, (count, own) in topics.items()]
        answer = await self._admin.create_topics(wanted)
        for name, code, *rest in answer.topic_errors:
            _check(code, f"{name}: {rest}")

    async def settings_of(self, topics: Iterable[str]) -> dict[str, dict[str, str]]:
        """The settings of topics, Kafka's defaults among them."""
        wanted = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in sorted(topics)]
        entries_by_name: dict[str, dict[str, str]] = {}
        for answer in await self._admin.describe_configs(wanted) if wanted else []:
            for code, message, _, name, entries in answer.resources:
                _check(code, message)
                entries_by_name[name] = {entry[0]: entry[1] for entry in entries}
        return entries_by_name

    async def set_topics(self, settings: Mapping[str, Mapping[str, str]]) -> None:
        """Change these settings of topics and leave their others as they are."""
        rows = [
            (ConfigResourceType.TOPIC.value, topic, [(name, 0, value) for name, value in sorted(own.items())])
            for topic, own in sorted(settings.items())
        ]
        answer = await self._send(protocol.ALTER_CONFIGS, rows, False)
        for code, message, *_ in answer.results:
            _check(code, message)

    async def _send(self, api: Api, *values: Any) -> Any:
        client = self._admin._client
        return await client.send(client.get_random_node(), AdminRequest(api, *values))


def _check(code: int, message: object) -> None:
    if code:
        raise for_code(code)(message)
