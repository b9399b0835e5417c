"""Query the broker about topics and a group as a whole: what there is, where it ends, how it is set, who reads it.

One client a survey, a request or two to each broker. A broker that does not answer one of the questions still gets the
others: the embedded one knows neither a topic's settings nor a group's members.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Final, TypeVar

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import DescribeGroupsRequest_v0
from aiokafka.protocol.api import Request
from aiokafka.protocol.offset import OffsetRequest

from shared.adapters.kafka.security import Client

TIMESTAMPS: Final = "message.timestamp.type"
SETTINGS: Final = (TIMESTAMPS, "max.message.bytes", "retention.ms", "cleanup.policy")
"""The topic settings that a survey reads."""
_Answer = TypeVar("_Answer")
_LATEST: Final = -1
_EARLIEST: Final = -2
_UNCOMMITTED: Final = 0
_COMMITTED: Final = 1


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a group, as the broker lists it."""

    client_id: str
    host: str
    partitions: frozenset[TopicPartition]


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group: `state` is Kafka's word, Stable where nothing moves."""

    state: str
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Ends:
    """Of one partition: the log's start, the end of committed records, and the high watermark."""

    first: int
    committed: int
    end: int


@dataclass(frozen=True, slots=True)
class Survey:
    """One survey's result; `settings` is empty and `group` None where the broker does not say, see `unanswered`."""

    partitions: frozenset[TopicPartition]
    ends: Mapping[TopicPartition, Ends]
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    group: Group | None = None
    unanswered: Mapping[str, str] = field(default_factory=dict)


class TopicSurvey:
    """Surveys the topics whose names fit a rule, and one group."""

    def __init__(self, client: Client, group: str) -> None:
        self._client, self._group = client, group
        self._unknown: dict[str, str] = {}
        """Questions that this broker does not know; they are not sent again."""

    async def survey(self, is_ours: Callable[[str], object]) -> Survey:
        """Everything at once; raises KafkaError when the broker says nothing at all."""
        async with _SurveyClient(self._client) as client:
            partitions = await client.partitions(is_ours)
            ends = await client.ends(partitions)
            settings: Mapping[str, Mapping[str, str]] | None = None
            group: Group | None = None
            unanswered: dict[str, str] = {}
            if "settings" not in self._unknown:
                settings = await self._answer("settings", client.settings({tp.topic for tp in partitions}), unanswered)
            if "group" not in self._unknown:
                group = await self._answer("group", client.group(self._group), unanswered)
            return Survey(frozenset(partitions), ends, settings or {}, group, self._unknown | unanswered)

    async def read_settings(self, topics: Collection[str]) -> Mapping[str, Mapping[str, str]]:
        """Of these topics; empty when the broker does not know any. Raises KafkaError when it does not answer."""
        if not topics or "settings" in self._unknown:
            return {}
        async with _SurveyClient(self._client) as client:
            try:
                return await client.settings(topics)
            except NotImplementedError as error:
                self._unknown["settings"] = str(error)
                return {}

    async def _answer(self, what: str, answer: Awaitable[_Answer], unanswered: dict[str, str]) -> _Answer | None:
        try:
            return await answer
        except NotImplementedError as error:
            self._unknown[what] = str(error)
        except (KafkaError, ValueError) as error:
            unanswered[what] = repr(error)
        return None


class _DescribeGroups(Request[DescribeGroupsRequest_v0]):
    """aiokafka takes apart the answer to a later version wrongly; the first one says all that is wanted."""

    API_KEY = DescribeGroupsRequest_v0.API_KEY

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request_struct_class: type[DescribeGroupsRequest_v0]) -> DescribeGroupsRequest_v0:
        return request_struct_class([self._group])


class _SurveyClient:
    """A client for the length of one survey."""

    def __init__(self, client: Client) -> None:
        self._admin: Any = AIOKafkaAdminClient(**client, request_timeout_ms=5_000)

    async def __aenter__(self) -> "_SurveyClient":
        try:
            await self._admin.start()
        except BaseException:
            await self._admin.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._admin.close()

    async def partitions(self, is_ours: Callable[[str], object]) -> list[TopicPartition]:
        cluster = await self._admin._client.fetch_all_metadata()
        self._cluster = cluster
        topics = sorted(topic for topic in cluster.topics() if is_ours(topic))
        return [TopicPartition(topic, number) for topic in topics for number in cluster.partitions_for_topic(topic)]

    async def ends(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Ends]:
        wanted = list(partitions)
        first = await self._offsets(wanted, _EARLIEST, _UNCOMMITTED)
        committed = await self._offsets(wanted, _LATEST, _COMMITTED)
        end = await self._offsets(wanted, _LATEST, _UNCOMMITTED)
        known = first.keys() & committed.keys() & end.keys()
        return {tp: Ends(first[tp], committed[tp], max(end[tp], committed[tp])) for tp in known}

    async def _offsets(
        self, partitions: Iterable[TopicPartition], time: int, isolation: int
    ) -> dict[TopicPartition, int]:
        by_leader: dict[int, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
        for tp in partitions:
            leader = self._cluster.leader_for_partition(tp)
            if leader not in {None, -1}:
                by_leader[leader][tp.topic].append((tp.partition, time))
        offsets: dict[TopicPartition, int] = {}
        for leader, topics in by_leader.items():
            answer = await self._admin._client.send(leader, OffsetRequest(-1, isolation, list(topics.items())))
            for topic, answered in answer.topics:
                offsets |= {
                    TopicPartition(topic, number): offset for number, code, _, offset, *_ in answered if not code
                }
        return offsets

    async def settings(self, topics: Collection[str]) -> dict[str, dict[str, str]]:
        wanted = [ConfigResource(ConfigResourceType.TOPIC, topic, configs=dict.fromkeys(SETTINGS)) for topic in topics]
        if not wanted:
            return {}
        # The embedded broker closes the connection on a request for some, and has none on a request for all.
        everything = [ConfigResource(ConfigResourceType.TOPIC, wanted[0].name, configs=None)]
        if not any((await self._describe(everything)).values()):
            raise NotImplementedError("the broker knows no settings of topics")
        return await self._describe(wanted)

    async def _describe(self, wanted: list[ConfigResource]) -> dict[str, dict[str, str]]:
        settings: dict[str, dict[str, str]] = {}
        for answer in await self._admin.describe_configs(wanted):
            for code, words, _, topic, entries in answer.resources:
                if code:
                    raise for_code(code)(f"{topic}: {words}")
                settings[topic] = {name: value for name, value, *_ in entries}
        return settings

    async def group(self, group: str) -> Group:
        coordinator = await self._admin.find_coordinator(group)
        answer = await self._admin._client.send(coordinator, _DescribeGroups(group))
        ((code, _, state, _, _, members),) = answer.groups
        if code:
            raise for_code(code)(group)
        if members and not any(client_id for _, client_id, *_ in members):
            raise NotImplementedError("the broker does not say who the members of a group are")
        return Group(state, tuple(_member(*member) for member in members))


def _member(_: str, client_id: str, host: str, metadata: bytes, assignment: bytes) -> Member:  # noqa: ARG001 - Kafka's
    held: list[TopicPartition] = []
    if assignment:
        held = ConsumerProtocolMemberAssignment.decode(BytesIO(assignment)).partitions()
    return Member(client_id, host, frozenset(held))
