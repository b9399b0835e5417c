"""List the decisions that charging and the ledger have stored, for an operator."""

import json
from typing import Final

from services.demo.running.answers import Decision, DecisionPage
from services.demo.running.apis import open_apis
from shared.domain.errors import Refused
from shared.domain.times import read_instant, shown_time
from shared.runtime.access import DECIDING
from shared.runtime.command_settings import CommandSettings

PAGE: Final = 1_000


async def read_decisions(settings: CommandSettings, service: str, after: int, limit: int | None) -> DecisionPage:
    """Read one service's decisions, at most `limit` or all; raises Refused for a service that stores none."""
    if service not in DECIDING:
        raise Refused(f"not a service that stores decisions: {service!r}; it is one of {', '.join(sorted(DECIDING))}")
    async with open_apis(settings) as apis:
        api = apis.charging if service == "charging" else apis.ledger
        read: list[Decision] = []
        following: int | None = after
        while following is not None and (limit is None or len(read) < limit):
            most = PAGE if limit is None else min(PAGE, limit - len(read))
            page: DecisionPage = await api.get("/v1/decisions", after=str(following), limit=str(most))
            read, following = read + page["decisions"], page["next"]
    return DecisionPage(decisions=read, next=following)


def print_decisions(decisions: list[Decision]) -> None:
    """Print one line for each decision: number, instant, person, request and its body."""
    for row in decisions:
        body = json.dumps(row["content"], ensure_ascii=False) if row["content"] else ""
        decided_at = shown_time(read_instant(row["decided_at"]))
        print(f"{row['decision_id']}  {decided_at}  {row['person']}  {row['request']}  {body}".rstrip())
    if not decisions:
        print("no decision is stored")
