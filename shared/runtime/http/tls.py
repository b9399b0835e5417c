"""Contexts for TLS that take a new certificate or authority at the next handshake after its file was replaced.

No restart, no signal and no timer: a handshake compares the files with those that the last context was made of. Files
that cannot be used leave the last context in place, with a line in the log; open connections go on as they are.
"""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from shared.domain.errors import Refused

log = structlog.get_logger(__name__)
Build = Callable[[], ssl.SSLContext]
_State = tuple[tuple[int, int, int], ...]
_OLDEST: Final = ssl.TLSVersion.TLSv1_2


class RenewedContext(ssl.SSLContext):
    """A context whose handshakes are made by the newest one that `build` could make of the files."""

    _build: Build
    _files: tuple[Path, ...]
    _newest: ssl.SSLContext
    _made_of: _State
    _fault: str

    def __new__(cls, build: Build, *_: Path) -> "RenewedContext":  # noqa: ARG004 - __init__ has it
        """An empty context: its own settings are never used."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, build: Build, *files: Path) -> None:
        """Make the first context; raises Refused where it cannot be made."""
        self._build, self._files, self._fault = build, files, ""
        self._made_of = self._state()
        self._newest = build()

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin a handshake with the files as they are now."""
        return self.current().wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def current(self) -> ssl.SSLContext:
        """The context of the next handshake."""
        try:
            if (state := self._state()) != self._made_of:
                self._newest, self._made_of, self._fault = self._build(), state, ""
                log.info("certificates read again", files=[str(file) for file in self._files])
        except (Refused, OSError) as error:
            if str(error) != self._fault:
                log.warning("new certificates cannot be used, the last ones are", error=str(error))
            self._fault = str(error)
        return self._newest

    def _state(self) -> _State:
        stats = (file.stat() for file in self._files if file.exists())
        return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats)


def server_context(certificate: Path | None, key: Path | None) -> RenewedContext | None:
    """The context of a service with this certificate (its chain behind it); None where it has none.

    Without a file of the key, the key is in the certificate's. Raises Refused for files that cannot be used.
    """
    if certificate is None:
        if key is not None:
            raise Refused("DANBAO_TLS_KEY is set: DANBAO_TLS_CERTIFICATE, which it belongs to, is not")
        return None

    def build() -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _OLDEST
        try:
            # An encrypted key would prompt at the terminal: the empty password refuses it instead.
            context.load_cert_chain(certificate, key, password="")
        except (OSError, ValueError) as error:
            named = f"{certificate} and {key} are" if key else f"{certificate} is"
            raise Refused(f"DANBAO_TLS_CERTIFICATE: {named} no certificate with its unencrypted key: {error}") from None
        return context

    return RenewedContext(build, *(file for file in (certificate, key) if file is not None))


def client_context(setting: str, authorities: Path | None) -> ssl.SSLContext:
    """The context of a client that checks name and certificate against these authorities, or the system's.

    Raises Refused naming the setting for a file that holds none.
    """
    if authorities is None:
        return ssl.create_default_context()

    def build() -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=authorities)
        except (OSError, ValueError) as error:
            raise Refused(f"{setting}: {authorities} is no PEM file of certificates: {error}") from None
        context.minimum_version = _OLDEST
        return context

    return RenewedContext(build, authorities)
