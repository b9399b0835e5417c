"""The program in docs/enterprises.md sends an order that is charged."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from shared.domain.calendar import insured_day
from shared.runtime import clock
from tests.e2e.conftest import Month
from tests.support.waiting import eventually_async

PRODUCER = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ENTERPRISE = "91000000FAKE00001F"


def _run(code: str, env: dict[str, str]) -> str:
    """What the code prints."""
    done = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True)
    return done.stdout.strip()


async def test_the_producer_of_the_page_has_its_order_charged(month: Month, danbao: Path) -> None:
    (code,) = PRODUCER.findall((danbao / "docs" / "enterprises.md").read_text(encoding="utf-8"))
    assert len(re.findall(r"^.*\S", code, re.MULTILINE)) <= 30
    env = {**os.environ, "DANBAO_KAFKA": month.system.settings.kafka}
    order_id = await asyncio.to_thread(_run, code, env)
    path = f"/v1/orders/{ENTERPRISE}/{order_id}"
    rows: list[dict[str, Any]] = []

    async def is_charged() -> bool:
        answer = await month.system.apis.charging.get(path, day=insured_day(clock.now()).isoformat())
        rows[:] = answer["rows"]
        return bool(rows)

    await eventually_async(is_charged, "the order is charged")
    assert [(row["kind"], row["premium_yuan"], row["province"]) for row in rows] == [("acceptance", "0.01", "44")]
