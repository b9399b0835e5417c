"""Report progress on standard error: a bar on a terminal, nothing elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class Watcher(Protocol):
    """Receiver of progress reports."""

    def stage(self, text: str) -> None:
        """What is being done now."""

    def expect(self, total: int) -> None:
        """How many steps there will be, as far as known."""

    def advance(self, count: int = 1) -> None:
        """So many steps further."""


class Silent:
    """Reports nothing."""

    def stage(self, text: str) -> None: ...

    def expect(self, total: int) -> None: ...

    def advance(self, count: int = 1) -> None: ...


class _Rate(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:,.0f}/s", style="progress.data.speed")


class _Bar:
    def __init__(self, progress: Progress, what: str, total: int | None) -> None:
        self._progress, self._task = progress, progress.add_task(what, total=total)

    def stage(self, text: str) -> None:
        self._progress.update(self._task, description=text)

    def expect(self, total: int) -> None:
        self._progress.update(self._task, total=total)

    def advance(self, count: int = 1) -> None:
        self._progress.advance(self._task, count)


@contextmanager
def progress_bar(what: str, total: int | None) -> Iterator[Watcher]:
    """A bar with count, rate and time left; it disappears at the end. Without a terminal: silence."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Silent()
        return
    columns = (
        SpinnerColumn(), TextColumn("{task.description:<34}"), BarColumn(), MofNCompleteColumn(), _Rate(),
        TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Bar(progress, what, total)
