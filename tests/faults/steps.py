"""Every step of a service that others can see, counted, so that it can be stopped dead before or after any of them.

A step is a statement sent to PostgreSQL, a message produced, an offset committed, an HTTP call. `StepConnection` is the
driver's own connection with a turnstile in front of each statement; `StepTransport` the same for HTTP.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

import asyncpg
import httpx

T = TypeVar("T")
When = Literal["before", "after"]


class Crash(BaseException):
    """The process is dead; everything that it still tries ends here."""


class Step(NamedTuple):
    """Who took it, what it was, and in which turn: turns count from 1, and 0 is for a start."""

    service: str
    what: str
    turn: int


@dataclass
class Process:
    """One start of a service: what it is connected to, and whether it still lives."""

    name: str
    steps: "Steps"
    connections: list[asyncpg.Connection] = field(default_factory=list)
    backends: list[int] = field(default_factory=list)
    pools: list[asyncpg.Pool] = field(default_factory=list)
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    is_dead: bool = False

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something as this process; raises Crash when it dies over it, even if the work swallows that."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        try:
            return await task
        except (Exception, asyncio.CancelledError) as error:
            if self.is_dead and task.done():
                raise Crash(self.name) from error
            raise
        finally:
            self.tasks.discard(task)

    def die(self) -> None:
        """Cut all connections at once, and run nothing any more; the server rolls back what was open."""
        self.is_dead = True
        for task in self.tasks:
            task.cancel()
        for pool in self.pools:  # they would reconnect
            pool.terminate()
        for connection in self.connections:
            connection.terminate()

    async def step(self, name: str, act: Callable[[], Awaitable[T]]) -> T:
        return await self.steps.take(self, name, act)

    def connection_class(self) -> type["StepConnection"]:
        """The class whose connections belong to this process."""
        return type("OwnConnection", (StepConnection,), {"process": self})


@dataclass
class Steps:
    """Counts the steps of all services; the one with number `number` is the last of its process."""

    number: int | None = None
    when: When = "before"
    taken: list[Step] = field(default_factory=list)
    passed: list[tuple[int, When]] = field(default_factory=list)
    """Both sides of every step in the order in which they came: calls lie within calls, and some go on side by side."""
    turn: int = 0
    turns: int = 0
    idle: set[int] = field(default_factory=set)
    crashes: int = 0

    def begin_turn(self) -> int:
        """What is taken from now on belongs to the next turn."""
        self.turns += 1
        self.turn = self.turns
        return self.turn

    async def take(self, process: Process, name: str, act: Callable[[], Awaitable[T]]) -> T:
        self._check(process)
        self.taken.append(Step(process.name, name, self.turn))
        number = len(self.taken)
        self._pass(process, number, "before")
        try:
            return await act()
        finally:  # an answer that says no is an answer
            self._pass(process, number, "after")
            self._check(process)

    def places(self) -> list[tuple[int, When]]:
        """Every place between two steps, once: just after one is just before the next, if one process takes both."""
        places = []
        for here, (number, when) in enumerate(self.passed):
            following = self.passed[here + 1] if here + 1 < len(self.passed) else None
            is_reported_next = (
                following is not None and following[1] == "before" and self._are_one(number, following[0])
            )
            if when == "before" or not is_reported_next:
                places.append((number, when))
        return places

    def _are_one(self, one: int, other: int) -> bool:
        return self.taken[one - 1].service == self.taken[other - 1].service

    def _pass(self, process: Process, number: int, when: When) -> None:
        self.passed.append((number, when))
        if (number, when) == (self.number, self.when):
            self._crash(process)

    def _check(self, process: Process) -> None:
        if process.is_dead:
            raise Crash(process.name)

    def _crash(self, process: Process) -> None:
        self.crashes += 1
        process.die()
        raise Crash(process.name)


class StepConnection(asyncpg.Connection):
    """A connection whose statements are steps of its process."""

    process: Process

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.process.connections.append(self)
        self.process.backends.append(self.get_server_pid())
        if self.process.is_dead:
            self.terminate()
        self._is_within = False

    async def _step(self, what: str, act: Callable[[], Awaitable[T]]) -> T:
        """Take one step; calls of the driver to itself inside the step belong to it."""
        if self._is_within:
            return await act()
        self._is_within = True
        try:
            return await self.process.step(" ".join(what.split())[:100], act)
        finally:
            self._is_within = False

    async def execute(self, query: str, *args: Any, **kwargs: Any) -> Any:
        act = super().execute
        return await self._step(query, lambda: act(query, *args, **kwargs))

    async def executemany(self, command: str, args: Any, **kwargs: Any) -> Any:
        act = super().executemany
        return await self._step(command, lambda: act(command, args, **kwargs))

    async def fetch(self, query: str, *args: Any, **kwargs: Any) -> Any:
        act = super().fetch
        return await self._step(query, lambda: act(query, *args, **kwargs))

    async def fetchval(self, query: str, *args: Any, **kwargs: Any) -> Any:
        act = super().fetchval
        return await self._step(query, lambda: act(query, *args, **kwargs))

    async def fetchrow(self, query: str, *args: Any, **kwargs: Any) -> Any:
        act = super().fetchrow
        return await self._step(query, lambda: act(query, *args, **kwargs))

    async def copy_records_to_table(self, table_name: str, **kwargs: Any) -> Any:
        act = super().copy_records_to_table
        return await self._step(f"copy {table_name}", lambda: act(table_name, **kwargs))

    async def prepare(self, query: str, **kwargs: Any) -> Any:
        return _StepStatement(self, query, await super().prepare(query, **kwargs))


class _StepStatement:
    """A prepared statement: running it is the step."""

    def __init__(self, connection: StepConnection, query: str, statement: Any) -> None:
        self._connection, self._query, self._statement = connection, query, statement

    def __getattr__(self, name: str) -> Any:
        return getattr(self._statement, name)

    async def fetch(self, *args: Any, **kwargs: Any) -> Any:
        return await self._connection._step(self._query, lambda: self._statement.fetch(*args, **kwargs))


class StepTransport(httpx.AsyncBaseTransport):
    """HTTP to a service in this process: a call is a step of the caller; a callee that dies in it is a lost answer."""

    def __init__(self, caller: Process, callee: Callable[[], tuple[Process, Any] | None]) -> None:
        self._caller, self._callee = caller, callee

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._caller.step(f"{request.method} {request.url.path}", lambda: self._send(request))

    async def _send(self, request: httpx.Request) -> httpx.Response:
        return await call_service(self._callee(), request)


async def call_service(callee: tuple[Process, Any] | None, request: httpx.Request) -> httpx.Response:
    """Let a service answer a request; raises what httpx raises when there is nobody, or the answer is lost."""
    if callee is None or callee[0].is_dead:
        raise httpx.ConnectError("nobody listens", request=request)
    try:
        return await callee[0].run(httpx.ASGITransport(callee[1]).handle_async_request(request))
    except Crash as crash:
        raise httpx.ReadError("the connection was reset", request=request) from crash
