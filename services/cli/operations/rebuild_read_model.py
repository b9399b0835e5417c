"""Request a rebuild of the read model and wait for it: reporting rebuilds one day in each transaction."""

import asyncio
from typing import Final

from services.demo.progress import progress_bar
from services.demo.running.apis import open_apis
from shared.runtime.command_settings import CommandSettings

PAUSE_SECONDS: Final = 0.2


async def rebuild_read_model(settings: CommandSettings) -> str:
    """Request the rebuild, wait for its end, and return a line with its size."""
    async with open_apis(settings) as apis:
        due = await apis.reporting.post("/v1/read-model/rebuild")
        whole = due["due_days"] + due["due_statements"]
        with progress_bar("projecting", whole) as watcher:
            done = 0
            while done < whole:
                left = await apis.reporting.get("/v1/read-model")
                now = max(whole - left["due_days"] - left["due_statements"], done)
                watcher.advance(now - done)
                done = now
                await asyncio.sleep(PAUSE_SECONDS if done < whole else 0)
    return f"{due['due_days']} days and {due['due_statements']} statements are projected"
