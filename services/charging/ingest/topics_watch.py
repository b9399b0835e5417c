"""Watch all order topics of this deployment and the group that reads them, over all holders of partitions.

A worker's own lag says nothing of partitions that others hold, or nobody. So every worker reads from the broker every
few seconds where each log ends, and compares it with the positions in the database. What somebody did to a topic or to
the group shows there within a minute: a stranger in the group, a transaction left open, a topic deleted or set
otherwise. Nothing is mended here: positions are moved by compare-and-set, so a stranger can only starve charging.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.charging.ingest.held_positions import HeldPositions
from services.charging.metrics import Metrics
from services.charging.settings import ChargingSettings
from shared.adapters.kafka.admin.topic_survey import TIMESTAMPS, Survey, TopicSurvey
from shared.adapters.kafka.bounded_fetch import require_broker_times
from shared.adapters.postgres.pool import Pool
from shared.contracts.topics import orders_topic
from shared.domain.times import shown_time
from shared.runtime.clock import now
from shared.runtime.periodic import Periodic

log = structlog.get_logger(__name__)
MOST_SHOWN: Final = 8
"""Alarms that a readiness text names; the others are counted."""
GONE_SECONDS: Final = 10.0
"""A topic that is being made at a start is not gone."""
_CLIENT_ID: Final = re.compile(r"danbao-charging-([0-9a-f]{32})\Z")
_POSITIONS: Final = "select topic, partition, next_offset from charging.position where cluster_id = $1"
_RUNS: Final = "select run from charging.run where run = any($1::text[])"
_LOG_APPEND: Final = "LogAppendTime"


class Alarm(StrEnum):
    """Faults of order topics and of their group."""

    NOT_CHARGED = "not_charged"
    OPEN_TRANSACTION = "open_transaction"
    TOPIC_GONE = "topic_gone"
    TOPIC_ALTERED = "topic_altered"
    FOREIGN_MEMBER = "foreign_member"
    GROUP_UNSETTLED = "group_unsettled"
    PARTITION_UNHELD = "partition_unheld"
    NOT_LOOKED_AT = "not_looked_at"


Condition = tuple[Alarm, str, str]
"""An alarm, what it is about (a change of which begins a new wait), and words for an operator."""


def client_id_of(run: str) -> str:
    """The client id of a worker: its run is in the database, which distinguishes a member from a stranger."""
    return f"danbao-charging-{run}"


class TopicSettings:
    """Checks how order topics are set; `expected_times` says who has to stamp their records, empty allows both."""

    def __init__(self, survey: TopicSurvey, expected_times: str) -> None:
        self._survey, self._expected = survey, expected_times

    async def find_unfit(self, topics: Collection[str]) -> Mapping[str, str]:
        """Which of these topics must not be read as they are set: their records carry times that a sender wrote."""
        try:
            settings = await self._survey.read_settings(topics)
        except (KafkaError, ValueError) as error:
            log.warning("settings of topics are not known", error=repr(error))
            return {}
        return self.unfit_of(settings)

    def unfit_of(self, settings: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
        """Of these topics and settings, those that must not be read, and why."""
        expected = self._expected
        if settings and expected == _LOG_APPEND:
            require_broker_times()
        return {
            topic: f"{TIMESTAMPS} is {values[TIMESTAMPS]}, not {expected}: set it back; what was written is not read"
            for topic, values in settings.items()
            if expected and values.get(TIMESTAMPS, expected) != expected
        }


class TopicsWatch:
    """One worker's view of all topics and of the group."""

    def __init__(
        self,
        settings: ChargingSettings,
        pool: Pool,
        positions: HeldPositions,
        survey: TopicSurvey,
        topic_settings: TopicSettings,
        pattern: str,
        enterprises: Iterable[str],
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._positions = positions
        self._survey = survey
        self._topic_settings = topic_settings
        self._metrics = metrics
        self._is_ours = re.compile(pattern).match
        self._enrolled = {topic for topic in map(orders_topic, enterprises) if self._is_ours(topic)}
        self._since: dict[tuple[Alarm, str], float] = {}
        self._unanswered: dict[str, str] = {}
        self.alarms: dict[tuple[Alarm, str], str] = {}

    def periodic(self) -> Periodic:
        """The work to run next to the server."""
        return Periodic("order topics", self._watch, self._settings.topic_look_seconds, pauses_first=True)

    async def _watch(self) -> None:
        """Check everything once; a check that fails is an alarm when it fails for long."""
        try:
            await self._survey_topics()
        except Exception as error:
            self._note([(Alarm.NOT_LOOKED_AT, "", f"the broker or the database does not answer: {error!r}")])
            raise

    async def readiness(self) -> str | None:
        """None, or the alarms."""
        return "; ".join(self.describe_alarms()) or None

    def describe_alarms(self) -> list[str]:
        """A line for each alarm: its name, what is the matter, and since when."""
        words = [f"{key[0]}: {words}, since {self._began_at(key)}" for key, words in sorted(self.alarms.items())]
        more = len(words) - MOST_SHOWN
        return [*words[:MOST_SHOWN], *([f"and {more} more"] if more > 0 else [])]

    def _began_at(self, key: tuple[Alarm, str]) -> str:
        age = asyncio.get_running_loop().time() - self._since[key]
        return shown_time(now() - timedelta(seconds=age))

    async def _survey_topics(self) -> None:
        cluster_id = self._positions.cluster_id
        survey = await self._survey.survey(self._is_ours)
        self._say_once(survey.unanswered)
        if survey.settings:
            await self._positions.set_unfit(self._topic_settings.unfit_of(survey.settings))
        if cluster_id is None:
            return
        stored = {
            TopicPartition(row["topic"], row["partition"]): row["next_offset"]
            for row in await self._pool.fetch(_POSITIONS, cluster_id)
        }
        positions = {tp: stored.get(tp, ends.first) for tp, ends in survey.ends.items()}
        self._metrics.lag.set(sum(max(0, survey.ends[tp].end - position) for tp, position in positions.items()))
        runs = await self._known_runs(survey)
        conditions = [
            *self._judge_logs(survey, positions),
            *self._judge_topics(survey),
            *self._judge_group(survey, runs),
        ]
        self._note(conditions)

    def _say_once(self, unanswered: Mapping[str, str]) -> None:
        for what, why in unanswered.items():
            if self._unanswered.get(what) != why:
                log.warning("the broker does not answer a question about order topics", question=what, why=why)
        self._unanswered = dict(unanswered)

    async def _known_runs(self, survey: Survey) -> set[str]:
        if survey.group is None:
            return set()
        named = [name[1] for member in survey.group.members if (name := _CLIENT_ID.match(member.client_id))]
        return {row["run"] for row in await self._pool.fetch(_RUNS, named)}

    def _judge_logs(self, survey: Survey, positions: Mapping[TopicPartition, int]) -> Iterator[Condition]:
        for tp, position in sorted(positions.items()):
            ends, name = survey.ends[tp], f"{tp.topic}/{tp.partition}"
            if ends.end > ends.committed:
                waiting = ends.end - max(position, ends.committed)
                words = f"{name}: {waiting} events from {ends.committed} on wait behind an open transaction"
                yield Alarm.OPEN_TRANSACTION, f"{name} {ends.committed}", words
            if ends.committed > position and tp.topic not in self._positions.pauses.reasons:
                words = f"{name}: {ends.committed - position} events wait at {position}"
                yield Alarm.NOT_CHARGED, f"{name} {position}", words

    def _judge_topics(self, survey: Survey) -> Iterator[Condition]:
        for topic in sorted(self._enrolled - {tp.topic for tp in survey.partitions}):
            yield Alarm.TOPIC_GONE, topic, f"{topic} is enrolled and is not there"
        wanted = self._settings
        for topic, values in sorted(survey.settings.items()):
            retention = int(values.get("retention.ms", "-1"))
            faults = {
                TIMESTAMPS: wanted.order_timestamps and values.get(TIMESTAMPS) != wanted.order_timestamps,
                "max.message.bytes": wanted.order_message_bytes
                and values.get("max.message.bytes") != str(wanted.order_message_bytes),
                "retention.ms": 0 <= retention < wanted.order_retention_hours * 3_600_000,
                "cleanup.policy": wanted.order_cleanup and values.get("cleanup.policy") != wanted.order_cleanup,
            }
            for name in (name for name, is_fault in faults.items() if is_fault):
                yield Alarm.TOPIC_ALTERED, f"{topic} {name}", f"{topic}: {name} is {values.get(name)}"

    def _judge_group(self, survey: Survey, runs: Collection[str]) -> Iterator[Condition]:
        if survey.group is None:
            return
        held: set[TopicPartition] = set()
        for member in survey.group.members:
            name = _CLIENT_ID.match(member.client_id)
            if name is None or name[1] not in runs:
                who = f"{member.client_id!r} at {member.host}"
                words = f"{who} is no charging worker and holds {len(member.partitions)} partitions"
                yield Alarm.FOREIGN_MEMBER, who, words
            else:
                held |= member.partitions
        if survey.group.state != "Stable":
            yield Alarm.GROUP_UNSETTLED, "", f"the group is {survey.group.state}: nobody is given partitions"
        unheld = Counter(tp.topic for tp in survey.partitions - held)
        for topic, count in sorted(unheld.items()):
            yield Alarm.PARTITION_UNHELD, topic, f"{topic}: {count} partitions are held by no charging worker"

    def _note(self, conditions: Iterable[Condition]) -> None:
        """Keep since when each condition is there; it is an alarm when that is long enough ago."""
        at = asyncio.get_running_loop().time()
        seen = {(alarm, subject): words for alarm, subject, words in conditions}
        is_blind = any(alarm is Alarm.NOT_LOOKED_AT for alarm, _ in seen)
        if is_blind:  # nothing is known of the others: they stay
            seen = {**self.alarms, **seen}
        self._since = {key: self._since.get(key, at) for key in (*seen, *(self._since if is_blind else ()))}
        raised = {key: words for key, words in seen.items() if at - self._since[key] >= self._patience(key[0])}
        for key, words in raised.items():
            if key not in self.alarms:
                log.error("alarm about order topics", alarm=key[0].value, about=words)
        self.alarms = raised
        counts = Counter(alarm for alarm, _ in raised)
        for alarm in Alarm:
            self._metrics.topic_alarms.labels(alarm=alarm.value).set(counts[alarm])

    def _patience(self, alarm: Alarm) -> float:
        if alarm in {Alarm.TOPIC_ALTERED, Alarm.FOREIGN_MEMBER}:
            return 0.0
        return GONE_SECONDS if alarm is Alarm.TOPIC_GONE else self._settings.ready_commit_age_seconds
