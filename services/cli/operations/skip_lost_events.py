"""Skip lost events for an operator: what is shown is what the operator agrees to."""

from typing import Literal

from services.demo.running.answers import LostRange
from services.demo.running.apis import open_apis
from shared.contracts.topics import enterprise_of
from shared.domain.errors import Refused
from shared.runtime.command_settings import CommandSettings

Losses = list[LostRange]


async def read_losses(settings: CommandSettings, topic: str) -> Losses:
    """Read the partitions whose log does not fit the stored position; Refused for a topic of no enterprise."""
    if enterprise_of(topic) is None:
        raise Refused(f"not the topic of an enterprise: {topic!r}")
    async with open_apis(settings) as apis:
        losses: Losses = (await apis.charging.get(f"/v1/topics/{topic}/losses"))["losses"]
    return losses


async def decide(settings: CommandSettings, topic: str, losses: Losses, why: str) -> str:
    """Have the shown positions moved, all or none; return a line with their number."""
    names: tuple[Literal["partition", "from_offset", "to_offset"], ...] = ("partition", "from_offset", "to_offset")
    agreed = [{name: lost[name] for name in names} for lost in losses]
    async with open_apis(settings) as apis:
        answer = await apis.charging.post(f"/v1/topics/{topic}/move-on", {"losses": agreed, "why": why})
    return f"{answer['moved']} partitions of {topic} are read on"


def words(losses: Losses) -> str:
    """Format one line for each partition."""
    return "\n".join(map(_line, losses)) or "nothing is missing: every position fits its log"


def _line(loss: LostRange) -> str:
    where = f"charged up to {loss['from_offset']}, would be read on from {loss['to_offset']}"
    return f"partition {loss['partition']}: {where}: {loss['reason']}"
