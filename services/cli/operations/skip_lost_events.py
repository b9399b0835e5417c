"""Moving on over events that are gone, as an operator asks for it: what is shown is what is agreed to."""

from typing import Any

from services.demo.running.apis import open_apis
from shared.contracts.topics import enterprise_of
from shared.domain.errors import Refused
from shared.runtime.command_settings import CommandSettings

Losses = list[dict[str, Any]]


async def read_losses(settings: CommandSettings, topic: str) -> Losses:
    """Each partition whose log does not fit; raises Refused for what is not the topic of an enterprise."""
    if enterprise_of(topic) is None:
        raise Refused(f"not the topic of an enterprise: {topic!r}")
    async with open_apis(settings) as apis:
        found: Losses = (await apis.charging.get(f"/v1/topics/{topic}/losses"))["losses"]
    return found


async def decide(settings: CommandSettings, topic: str, losses: Losses, why: str) -> str:
    """Have the positions moved that were shown, all or none; says how many."""
    agreed = [{name: each[name] for name in ("partition", "from_offset", "to_offset")} for each in losses]
    async with open_apis(settings) as apis:
        answer = await apis.charging.post(f"/v1/topics/{topic}/move-on", {"losses": agreed, "why": why})
    return f"{answer['moved']} partitions of {topic} are read on"


def words(losses: Losses) -> str:
    """A line a partition."""
    return "\n".join(map(_line, losses)) or "nothing is missing: every position fits its log"


def _line(loss: dict[str, Any]) -> str:
    where = f"charged up to {loss['from_offset']}, would be read on from {loss['to_offset']}"
    return f"partition {loss['partition']}: {where}: {loss['reason']}"
