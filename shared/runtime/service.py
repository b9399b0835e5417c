"""Composes and runs a service: uvicorn owns the process, FastAPI the routes, tasks do the work.

Exit statuses: 0 a clean stop, 3 it could not start, 70 it had to stop (the reason is logged and was in /readyz), 78 its
settings or data files are refused, with one line that says why.
"""

import asyncio
import contextlib
import functools
import gc
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

import structlog
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import ValidationError

from shared.contracts.topic_rights import SERVICES as PRINCIPALS
from shared.domain.errors import DanbaoError, Refused
from shared.domain.evidence.authors import Author
from shared.runtime.access import FULL, AccessKeys
from shared.runtime.http.client_address import Proxies, read_gateways
from shared.runtime.http.errors import DriverErrors, ErrorAnswers
from shared.runtime.http.gate import Caller, Gate, GateMiddleware
from shared.runtime.http.head_requests import HeadRequests
from shared.runtime.http.headers import StrictHeaders
from shared.runtime.http.limits import MOST_HEADER_BYTES
from shared.runtime.http.protocol import ConnectionLimits, Connections, LimitedProtocol
from shared.runtime.http.tls import server_context
from shared.runtime.observability import configure_logging, without_addresses
from shared.runtime.periodic import Periodic, end_tasks
from shared.runtime.persons import Persons
from shared.runtime.settings import Settings

log = structlog.get_logger(__name__)
Readiness = Callable[[], Awaitable[str | None]]
"""None when ready, else the reason why not, in a few words."""
CHECK_SECONDS: Final = 3.0
"""One condition of /readyz: a silent database must not delay the answer beyond this."""
READY_SECONDS: Final = 1.0
"""An answer of /readyz holds for so long, for every caller: its conditions query the database and the broker."""
S = TypeVar("S", bound=Settings)
"""Settings of one service."""


@dataclass(frozen=True, slots=True)
class Adapters:
    """Functions of the adapters that every service needs; this package does not know the adapters."""

    read_authors: Callable[[Path], Iterable[Author]]
    """Known authors from a file of verifier keys; raises Refused."""
    check_login: Callable[[Settings], Awaitable[None]]
    """Whether Kafka takes this process's login; raises Refused where it does not."""
    driver_errors: DriverErrors


class Service(Generic[S]):
    """One process: its app, its background tasks, what makes it ready, and why it had to stop."""

    def __init__(self, name: str, settings: S, compose: "Compose[S]", adapters: Adapters) -> None:
        self.name, self.settings = name, settings
        self.registry = CollectorRegistry()
        authors = adapters.read_authors(settings.vkeys) if settings.vkeys else []
        self.keys = AccessKeys.load(settings.access_keys, name, Persons(authors, name))
        self.fatal: list[BaseException] = []
        self._refusal: Refused | None = None
        self._start_error: Exception | None = None
        self._is_stopped = False
        self._compose, self._adapters = compose, adapters
        self._readiness: dict[str, Readiness] = {}
        self._warnings: dict[str, Callable[[], str | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        proxies = Proxies(settings.trusted_proxies, read_gateways())
        self.errors = ErrorAnswers(adapters.driver_errors)
        self.gate = Gate(name, settings, proxies, self._identify, self.errors)
        self.app = FastAPI(
            title=f"Danbao {name}",
            lifespan=self._lifespan,
            docs_url=None,
            redoc_url=None,
            max_body_size=self.gate.bodies.largest,
        )
        self.errors.install(self.app)
        self.app.add_middleware(GateMiddleware, gate=self.gate)
        self.app.add_middleware(StrictHeaders, gate=self.gate)
        self.app.add_middleware(HeadRequests)
        self._ready_until, self._ready_lock = 0.0, asyncio.Lock()
        self._reasons: dict[str, str] = {}
        self._add_probes()
        tls = server_context(settings.tls_certificate, settings.tls_key)
        self.server = _Server(
            uvicorn.Config(
                self.app,
                host=settings.host,
                port=settings.port,
                log_config=None,
                access_log=False,
                lifespan="on",
                # Each connection is made by the class and counted by the one object.
                http=functools.partial(LimitedProtocol, Connections(ConnectionLimits.of(settings), proxies)),  # type: ignore[arg-type]
                h11_max_incomplete_event_size=MOST_HEADER_BYTES,
                timeout_keep_alive=settings.http_idle_seconds,
                proxy_headers=False,
                server_header=False,
                ssl_context_factory=None if tls is None else lambda *_: tls,
                timeout_graceful_shutdown=5,
            )
        )

    def fail(self, error: BaseException) -> None:
        """Stop on purpose: record the error and request the server's exit (never SystemExit in a handler)."""
        log.error("must stop", service=self.name, error=repr(error))
        self.fatal.append(error)
        self.server.should_exit = True

    def background(self, name: str, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run work in the background; if it fails the service stops with status 70."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._note_end)
        return task

    def repeat(self, periodic: Periodic, stuck_after_seconds: float | None = None) -> None:
        """Run periodic work in the background; with a limit, no progress for that long is a reason in /readyz."""
        self.background(periodic.name, periodic.run())
        if stuck_after_seconds is None:
            return

        async def check() -> str | None:
            return periodic.stuck(stuck_after_seconds)

        self.add_readiness(periodic.name, check)

    def add_readiness(self, name: str, check: Readiness) -> None:
        """One more condition of /readyz."""
        self._readiness[name] = check

    def add_warning(self, name: str, check: Callable[[], str | None]) -> None:
        """Something that /readyz says while the service is ready: it will need a person before it fails."""
        self._warnings[name] = check

    def warnings(self) -> dict[str, str]:
        """What needs a person in time."""
        said = {name: check() for name, check in self._warnings.items()}
        return {name: words for name, words in said.items() if words is not None}

    def run(self) -> int:
        """Serve until a signal or `fail`; returns the exit status."""
        configure_logging(self.name, self.settings.log_level)
        asyncio.run(self._serve())
        if self._refusal is not None:
            return _refuse(self.name, self._refusal)
        if self.fatal:
            return 70
        if self.server.started or self._is_stopped:
            return 0
        settings = self.settings
        error = self._start_error or f"nothing can listen at {settings.host}:{settings.port}: is it taken?"
        return _end_with(self.name, f"could not start: {_describe_start(error)}", 3)

    async def _serve(self) -> None:
        serving = asyncio.current_task()
        assert serving is not None

        def stop() -> None:
            self._is_stopped = self.server.should_exit = True
            if not self.server.started:  # it waits for a database, say, and would not check should_exit
                serving.cancel()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        # uvicorn leaves by SystemExit when the start failed: the exit status is set here.
        with contextlib.suppress(asyncio.CancelledError, SystemExit):
            await self.server.serve()

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        try:
            if self.name in PRINCIPALS:
                await self._adapters.check_login(self.settings)
            async with self._compose(self):
                self.app.middleware_stack = None  # built for this lifespan, before handlers of errors were added
                gc.collect()
                gc.freeze()
                log.info("started", service=self.name, port=self.settings.port)
                try:
                    yield
                finally:
                    await end_tasks(self._tasks)
        except Refused as error:
            self._refusal = error
            logging.getLogger("uvicorn.error").disabled = True  # the one line at the end says it all
            raise
        except Exception as error:
            self._start_error = error
            raise

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.fail(error)

    async def reasons(self) -> dict[str, str]:
        """Why the service is not ready; empty when it is."""
        reasons = {"fatal": repr(self.fatal[0])} if self.fatal else {}
        for name, check in self._readiness.items():
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    reason = await check()
            except TimeoutError:
                reason = f"no answer within {CHECK_SECONDS:g} s"
            except Exception as error:  # noqa: BLE001 - a check that fails is a reason, too
                reason = repr(error)
            if reason is not None:
                reasons[name] = reason
        return reasons

    async def shown_reasons(self) -> dict[str, str]:
        """Why the service is not ready, as /readyz says it: checked once in READY_SECONDS, without addresses."""
        async with self._ready_lock:
            if time.monotonic() >= self._ready_until:
                self._reasons = {name: without_addresses(reason) for name, reason in (await self.reasons()).items()}
                self._ready_until = time.monotonic() + READY_SECONDS
            return self._reasons

    async def _identify(self, request: Request) -> Caller | None:
        reader = self.keys.find(request)
        return None if reader is None else Caller(reader.name, is_service=bool(reader.scopes & FULL))

    def _add_probes(self) -> None:
        @self.app.get("/healthz", include_in_schema=False)
        async def healthz() -> PlainTextResponse:
            return PlainTextResponse("ok\n")

        @self.app.get("/readyz", include_in_schema=False)
        async def readyz() -> JSONResponse:
            reasons = await self.shown_reasons()
            said = {"ready": not reasons, "reasons": reasons}
            return JSONResponse(
                said | ({"warnings": warnings} if (warnings := self.warnings()) else {}), 503 if reasons else 200
            )

        @self.app.get("/metrics", include_in_schema=False)
        async def metrics() -> PlainTextResponse:
            return PlainTextResponse(generate_latest(self.registry))


Compose = Callable[[Service[S]], AbstractAsyncContextManager[None]]
"""Puts one service together while it runs."""


def run_service(name: str, read_settings: Callable[[], S], compose: Compose[S], adapters: Adapters) -> int:
    """Read the settings, run the service, return its exit status."""
    try:
        service = Service(name, read_settings(), compose, adapters)
    except ValidationError as error:
        faults = [f"DANBAO_{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors()]
        return _refuse(name, Refused("; ".join(faults)))
    except Refused as error:
        return _refuse(name, error)
    return service.run()


def _refuse(name: str, error: Exception) -> int:
    return _end_with(name, str(error), 78)


def _end_with(name: str, words: str, status: int) -> int:
    """Print the reason as the last line of the log, for a person who looks only there."""
    print(f"danbao {name}: " + " ".join(words.split()), file=sys.stderr)  # noqa: T201 - the end of a process
    return status


def _describe_start(error: Exception | str) -> str:
    """One line for what kept a service from starting."""
    if isinstance(error, str | DanbaoError):
        return str(error)
    return f"{type(error).__name__}: {error}"


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers, which raise the signal again after a clean stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
