"""Run a command's work so that it ends in order on every stop signal."""

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from shared.domain.errors import DanbaoError
from shared.runtime.exits import CommandFailed, Exit, Terminated

T = TypeVar("T")


def run_work(work: Coroutine[None, None, T]) -> T:
    """Run the work and return its result; SIGINT and SIGTERM cancel it and stop what it started before the error."""

    async def with_signals() -> T:
        task = asyncio.ensure_future(work)
        was_asked: list[bool] = []

        def end() -> None:
            was_asked.append(True)
            task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
        try:
            return await task
        except asyncio.CancelledError:
            if was_asked:
                raise Terminated("stopped by SIGTERM") from None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise

    return asyncio.run(with_signals())


@contextmanager
def state_directory(purpose: str) -> Iterator[Path]:
    """Make a private folder that is removed at the end, or kept and named in the error after a failure."""
    folder = Path(tempfile.mkdtemp(prefix=f"danbao-{purpose}-"))
    try:
        yield folder
    except (KeyboardInterrupt, Terminated):
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except Exception as error:
        if not any((folder / "logs").glob("*")):
            shutil.rmtree(folder, ignore_errors=True)
            raise
        status = error.status if isinstance(error, CommandFailed) else Exit.SOFTWARE
        kept = CommandFailed(f"{_words(error)}; logs and keys are kept in {folder}")
        kept.status = status
        raise kept from error
    shutil.rmtree(folder, ignore_errors=True)


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, DanbaoError) else f"{type(error).__name__}: {error}"
