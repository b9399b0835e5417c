"""Says what a test was waiting for when its time was over: where every unfinished task is suspended."""

import asyncio
import gc
from collections.abc import Iterator

import pytest

TIMED_OUT = "from pytest-timeout"


def add_tasks(report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
    """Append all unfinished tasks to the report of a test that timed out."""
    if call.excinfo is not None and TIMED_OUT in str(call.excinfo.value):
        gc.unfreeze()  # a service freezes what it made at its start
        tasks = [thing for thing in gc.get_objects() if isinstance(thing, asyncio.Task) and not thing.done()]
        report.sections.append(("unfinished tasks", "\n".join(line for task in tasks for line in _describe(task))))


def _describe(task: asyncio.Task[object]) -> Iterator[str]:
    """Name of the task, and file and line of every frame from its own coroutine to what it awaits."""
    yield task.get_name()
    awaited: object = task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            yield f"  {frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
