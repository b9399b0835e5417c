"""Connections with limits: how many, how many of one address, and how long each step of a request may take.

uvicorn has no time-out for headers, for a body, or for a client that does not read, and drops no connection by
address. This protocol adds them; what a request means is left to uvicorn.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final, Literal

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from shared.runtime.http.client_address import Proxies, network_of
from shared.runtime.http.limits import DISCARDED_BYTES, LINGER_SECONDS
from shared.runtime.settings import Settings

Step = Literal["header", "body"]
_BUSY: Final = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_TOO_SLOW: Final = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """`connections` of all; `of_address` of one address, unless it is a named proxy's; seconds for each step."""

    connections: int
    of_address: int
    header_seconds: float
    body_seconds: float
    write_seconds: float

    @classmethod
    def of(cls, settings: Settings) -> "ConnectionLimits":
        """The limits of these settings."""
        return cls(
            settings.http_connections,
            settings.http_connections_of_address,
            settings.http_header_seconds,
            settings.http_body_seconds,
            settings.http_write_seconds,
        )


class Connections:
    """Counts the open connections of one server."""

    def __init__(self, limits: ConnectionLimits, proxies: Proxies) -> None:
        self.limits, self._proxies = limits, proxies
        self._open: Counter[str] = Counter()
        self._total = 0

    def enter(self, peer: str) -> bool:
        """Count one more; False where there is no room for it."""
        network = network_of(peer)
        is_full = self._open[network] >= self.limits.of_address and not self._proxies.are(peer)
        if is_full or self._total >= self.limits.connections:
            return False
        self._open[network] += 1
        self._total += 1
        return True

    def leave(self, peer: str) -> None:
        """Count one less."""
        network = network_of(peer)
        self._open[network] -= 1
        self._total -= 1
        if not self._open[network]:
            del self._open[network]


class LimitedProtocol(H11Protocol):
    """One connection."""

    def __init__(self, connections: Connections, **given: Any) -> None:
        super().__init__(**given)
        self._counted, self._limits = connections, connections.limits
        self._peer = ""
        self._has_entered = self._is_lingering = False
        self._step: Step | None = None
        self._step_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._discarded = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Count it, and turn it away where there is no room."""
        super().connection_made(transport)
        self._peer = self.client[0] if self.client else ""
        self._has_entered = self._counted.enter(self._peer)
        if self._has_entered:
            self._begin("header")
        else:
            self._is_lingering = True
            transport.write(_BUSY)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it no more."""
        self._begin(None)
        self.resume_writing()
        if self._has_entered:
            self._has_entered = False
            self._counted.leave(self._peer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Hand bytes to uvicorn, and see which step of a request they lead to."""
        if self._is_lingering:
            return
        try:
            super().data_received(data)
        except h11.LocalProtocolError:  # rubbish behind a request that is being answered
            self.transport.abort()
            return
        self._follow()
        if self._is_body_refused():
            self._discarded += len(data)
            if self._discarded > DISCARDED_BYTES:
                self._linger()

    def on_response_complete(self) -> None:
        """The next request's header may be here already."""
        self._discarded = 0
        super().on_response_complete()
        self._follow()

    def pause_writing(self) -> None:
        """The client does not read: it has some time to."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(self._limits.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def _follow(self) -> None:
        """Time the step that the connection is in: a step that goes on keeps its deadline."""
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            self._begin("body")
        elif state is h11.IDLE and self.conn.trailing_data[0]:
            self._begin("header")
        else:
            self._begin(None)

    def _begin(self, step: Step | None) -> None:
        if step == self._step:
            return
        if self._step_timer is not None:
            self._step_timer.cancel()
            self._step_timer = None
        self._step = step
        if step is not None:
            seconds = self._limits.header_seconds if step == "header" else self._limits.body_seconds
            self._step_timer = self.loop.call_later(seconds, self._give_up)

    def _is_body_refused(self) -> bool:
        return self.conn.their_state is h11.SEND_BODY and self.conn.our_state is h11.DONE

    def _give_up(self) -> None:
        """Answer 408 where something came and nothing was answered; then close."""
        has_come = self.conn.trailing_data[0] if self._step == "header" else self._is_unanswered()
        if has_come:
            self.transport.write(_TOO_SLOW)
        self._linger()

    def _is_unanswered(self) -> bool:
        """Whether the request under way has no part of an answer yet."""
        cycle: RequestResponseCycle | None = getattr(self, "cycle", None)
        return cycle is not None and not cycle.response_started

    def _linger(self) -> None:
        """Send nothing more, drop what comes, and close soon: closed at once, the answer might be lost on its way."""
        self._begin(None)
        self._is_lingering = True
        cycle: RequestResponseCycle | None = getattr(self, "cycle", None)
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)
