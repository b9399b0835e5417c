"""Read parked events for an operator."""

from base64 import b64decode

from rich.table import Table

from services.cli.wide_table import print_wide
from services.demo.running.answers import JsonObject, ParkedEvent, ParkedPage
from services.demo.running.apis import open_apis
from shared.contracts.topics import enterprise_of
from shared.domain.calendar import instant_of
from shared.domain.errors import Refused
from shared.domain.times import shown_time
from shared.runtime.command_settings import CommandSettings

PAGE = 1_000
"""Events of one request."""
GONE = "its bytes cannot be read any more; hash and redacted form remain"


async def read_parked(
    settings: CommandSettings, reason: str, enterprise: str, after: str, limit: int | None
) -> ParkedPage:
    """Read parked events, at most `limit` or all; empty texts mean any."""
    wanted = {name: value for name, value in (("reason", reason), ("enterprise", enterprise)) if value}
    read: list[ParkedEvent] = []
    following: str | None = after
    async with open_apis(settings) as apis:
        while following is not None and (limit is None or len(read) < limit):
            most = PAGE if limit is None else min(PAGE, limit - len(read))
            page: ParkedPage = await apis.charging.get("/v1/parked", **wanted, after=following, limit=str(most))
            read, following = read + page["parked"], page["next"]
    return ParkedPage(parked=read, next=following)


async def read_event(settings: CommandSettings, cursor: str) -> JsonObject:
    """Read one parked event with all its bytes; raises Refused for an invalid cursor."""
    batch, _, leaf_index = cursor.partition(".")
    if not (batch.isdigit() and leaf_index.isdigit()):
        raise Refused(f"not of the form BATCH.INDEX: {cursor!r}")
    async with open_apis(settings) as apis:
        event: JsonObject = await apis.charging.get(f"/v1/parked/{batch}/{leaf_index}")
    return event


async def resend(settings: CommandSettings, reason: str, enterprise: str) -> str:
    """Have parked events sent again; return a line with their number."""
    async with open_apis(settings) as apis:
        body = {"reason": reason, "enterprise": enterprise or None}
        answer = await apis.charging.post("/v1/parked/resend", body)
    said = f"{answer['resent']} events sent again"
    if answer["erased"]:
        said += f"; {answer['erased']} were not: their bytes are erased, the enterprise has to send them"
    if answer["too_large"]:
        said += f"; {answer['too_large']} were not: the broker does not take their size"
    return said + (f"; {answer['altered']} were not: their bytes were changed" if answer["altered"] else "")


async def resume(settings: CommandSettings, topic: str) -> str:
    """Resume a paused topic; raises Refused for a topic that is not an enterprise's."""
    if enterprise_of(topic) is None:
        raise Refused(f"not the topic of an enterprise: {topic!r}")
    async with open_apis(settings) as apis:
        answer = await apis.charging.post(f"/v1/topics/{topic}/resume")
    return f"{topic} is read again" if answer["state"] == "resumed" else f"{topic} was not paused"


def print_parked(events: list[ParkedEvent]) -> None:
    """Print one line for each event."""
    table = Table("event", "topic", "partition", "offset", "record time", "reason", "detail", "sent again", box=None)
    for event in events:
        table.add_row(
            event["cursor"],
            event["topic"],
            str(event["partition"]),
            str(event["offset"]),
            _instant(event["record_time_ms"]),
            event["reason"],
            event["detail"],
            "yes" if event["was_resent"] else "",
        )
    if events:
        print_wide(table)
    else:
        print("nothing is parked")


def print_event(event: JsonObject) -> None:
    """Print the event's fields, then its bytes; control characters and invalid UTF-8 are escaped."""
    kept = event.pop("value_base64")
    value = GONE if kept is None else b64decode(str(kept)).decode("utf-8", "backslashreplace")
    for name, figure in event.items():
        print(f"{name:15} {_escaped(str(figure))}")
    print("\n" + "\n".join(map(_escaped, value.splitlines())))


def _escaped(text: str) -> str:
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _instant(milliseconds: int) -> str:
    try:
        return shown_time(instant_of(milliseconds * 1_000))
    except OverflowError:
        return f"{milliseconds} ms"
