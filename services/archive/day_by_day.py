"""Does a piece of work for each of several days: a day that cannot be done is named, and the next one is done."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import date
from typing import TypeVar

from shared.adapters.postgres.faults import Fault, content_fault

T = TypeVar("T")


async def try_days(days: Iterable[date], work: Callable[[date], Awaitable[T]]) -> AsyncIterator[tuple[date, T | Fault]]:
    """Do the work of one day after the other; a day that cannot be done is returned with its fault.

    Raises what is of no single day, such as a database that is away or a full disk.
    """
    for day in days:
        done: T | Fault
        try:
            done = await work(day)
        except Exception as error:
            fault = content_fault(error)
            if fault is None:
                raise
            done = fault
        yield day, done
