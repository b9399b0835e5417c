"""Send every Kafka request as a login and record whether it is `allowed` or `refused`.

Requests are sent as they are on the wire, because clients hide refusals behind retries. Each either has no effect when
it is allowed (only checked), or one that a snapshot shows.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, cast

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol import admin, commit, coordination, fetch, group, offset, produce, transaction
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from shared.adapters.kafka.admin import admin_protocol as protocol
from shared.adapters.kafka.admin.admin_protocol import AdminRequest
from shared.adapters.kafka.security import Client

Outcome = Literal["allowed", "refused"]
Cell = tuple[str, str]
"""The request, and its topic, group or transactional id."""
ALLOWED: Final = {0, 79}
"""79: a member id is handed out, the group may be joined with it."""
REFUSED: Final = {29, 30, 31, 53, 65}
"""Topic, group, cluster, transactional id, delegation token: authorisation failed."""
NEW_TOPIC: Final = "orders.v1.91000000FAKE0000ZZ"
WAIT_MS: Final = 10_000
MEMBER: Final = ("consumer", [("range", b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")])
TOPIC, USER_ACL = 2, ("User:thief", "*", 3, 3)


class Login:
    """One login's connection."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def send(self, request: Any) -> Any:
        """Send a request to the only node."""
        return await self._client.send(self._client.get_random_node(), request)


@asynccontextmanager
async def logged_in(client: Client) -> AsyncIterator[Login]:
    """A connection of this login for as long as the context lasts."""
    opened: Any = AIOKafkaAdminClient(**client)
    await opened.start()
    try:
        yield Login(opened._client)
    finally:
        await opened.close()


def record(value: bytes) -> bytes:
    """A batch of one record, of no producer id."""
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 100_000)
    builder.append(0, timestamp=1_790_000_000_000, key=b"k", value=value, headers=[])
    return bytes(builder.build())


def outcome(code: int) -> Outcome:
    """What an error code says; another fault than these is a fault of the test."""
    if code in ALLOWED:
        return "allowed"
    assert code in REFUSED, f"error code {code}"
    return "refused"


async def probe_topics(login: Login, topics: Iterable[str]) -> dict[Cell, Outcome]:
    """Read, write, list offsets and describe configs of each topic."""
    names = sorted(topics)
    got = await login.send(fetch.FetchRequest(1, 0, 1 << 20, 0, [(name, [(0, 0, 1 << 16)]) for name in names]))
    codes = {("read", name): parts[0][1] for name, parts in got.topics}
    put = await login.send(produce.ProduceRequest(None, -1, WAIT_MS, [(name, [(0, record(b"x"))]) for name in names]))
    codes |= {("write", name): parts[0][1] for name, parts in put.topics}
    ends = await login.send(offset.OffsetRequest(-1, 0, [(name, [(0, -1)]) for name in names]))
    codes |= {("list offsets", name): parts[0][1] for name, parts in ends.topics}
    reported = await login.send(admin.DescribeConfigsRequest([(TOPIC, name, None) for name in names]))
    codes |= {("describe configs", name): code for code, _, _, name, _ in reported.resources}
    return {cell: outcome(code) for cell, code in codes.items()}


async def change_topics(login: Login, topics: Iterable[str]) -> dict[Cell, Outcome]:
    """Create, delete, enlarge, truncate, and change the settings of, each topic."""
    names = sorted(topics)
    wanted: Any = [(NEW_TOPIC, 1, 1, [], [])]
    new = await login.send(admin.CreateTopicsRequest(wanted, WAIT_MS, False))
    codes = {("create", name): code for name, code, *_ in new.topic_errors}
    gone = await login.send(admin.DeleteTopicsRequest(names, WAIT_MS))
    codes |= {("delete", name): code for name, code, *_ in gone.topic_error_codes}
    larger: Any = [(name, (9, None)) for name in names]
    more = await login.send(admin.CreatePartitionsRequest(larger, WAIT_MS, False))
    codes |= {("enlarge", name): code for name, code, *_ in more.topic_errors}
    cut = await login.send(admin.DeleteRecordsRequest([(name, [(0, 1)]) for name in names], WAIT_MS))
    codes |= {("truncate", name): parts[0][2] for name, parts, *_ in cut.topics}
    rows = [(TOPIC, name, [("retention.ms", 0, "1"), ("message.timestamp.type", 0, "CreateTime")]) for name in names]
    altered = await login.send(AdminRequest(protocol.ALTER_CONFIGS, rows, False))
    codes |= {("alter", name): code for code, _, _, name in altered.results}
    return {cell: outcome(code) for cell, code in codes.items()}


async def has_coordinators(login: Login) -> bool:
    """Whether groups and transactions have coordinators: Kafka makes their topics at the first request."""
    codes = [(await login.send(coordination.FindCoordinatorRequest("x", kind))).error_code for kind in (0, 1)]
    codes.append((await login.send(commit.OffsetFetchRequest("x", None))).error_code)
    return codes == [0, 0, 0]


async def probe_groups(login: Login, groups: Iterable[str], topic: str) -> dict[Cell, Outcome]:
    """Find, join, describe, commit in, and delete each group."""
    codes: dict[Cell, int] = {}
    for name in sorted(groups):
        codes["find", name] = (await login.send(coordination.FindCoordinatorRequest(name, 0))).error_code
        join = group.JoinGroupRequest(name, 10_000, 10_000, "", cast("Any", None), *MEMBER)
        codes["join", name] = (await login.send(join)).error_code
        done = await login.send(commit.OffsetCommitRequest(name, -1, "", -1, [(topic, [(0, 77, "stolen")])]))
        codes["commit", name] = done.topics[0][1][0][1]
        reported = await login.send(admin.DescribeGroupsRequest([name]))
        codes["describe", name] = reported.groups[0][0]
        gone = await login.send(admin.DeleteGroupsRequest([name]))
        codes["delete group", name] = gone.results[0][1]
    return {cell: outcome(code) for cell, code in codes.items()}


async def open_transactions(login: Login, ids: Iterable[str]) -> dict[Cell, Outcome]:
    """Begin a transaction under each id."""
    codes: dict[Cell, int] = {}
    for name in ids:
        codes["transaction", name] = (await login.send(transaction.InitProducerIdRequest(name, 900_000))).error_code
    return {cell: outcome(code) for cell, code in codes.items()}


async def rule(login: Login, victim: str) -> dict[Cell, Outcome]:
    """What only the setup job may: ACLs, passwords, quotas."""
    acl = (TOPIC, "orders.v1.", 4, *USER_ACL)
    made = await login.send(AdminRequest(protocol.CREATE_ACLS, [acl]))
    gone = await login.send(AdminRequest(protocol.DELETE_ACLS, [(1, None, 1, None, None, 1, 1)]))
    seen = await login.send(AdminRequest(protocol.DESCRIBE_ACLS, 1, None, 1, None, None, 1, 1))
    user = await login.send(AdminRequest(protocol.ALTER_USERS, [], [(victim, 2, 4096, b"s" * 24, b"p" * 64, {})], {}))
    users = await login.send(AdminRequest(protocol.DESCRIBE_USERS, [], {}))
    rate = [([("user", victim)], [("producer_byte_rate", 1.0, False)])]
    quota = await login.send(AdminRequest(protocol.ALTER_QUOTAS, rate, False))
    codes: Mapping[str, int] = {
        "add an ACL": made.results[0][0],
        "remove ACLs": gone.results[0][0],
        "see ACLs": seen.error_code,
        "set a password": user.results[0][1],
        "see users": users.error_code,
        "set a quota": quota.entries[0][0],
    }
    return {(verb, "cluster"): outcome(code) for verb, code in codes.items()}
