"""PostgreSQL and the broker together: what `danbao demo`, `danbao up` and the tests run on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from deploy.embedded.broker import EmbeddedBroker
from deploy.embedded.children import EmbeddedError
from deploy.embedded.postgres import EmbeddedPostgres

DATABASES = ("danbao", "national_platform")


class EmbeddedStack:
    """Both parts with the two databases, started within a second or so.

    `with EmbeddedStack() as stack:` gives `stack.kafka` and `stack.database("danbao")`; main thread only.
    """

    def __init__(self, settings: Mapping[str, str] | None = None, root: Path | None = None) -> None:
        self.postgres = EmbeddedPostgres(settings, root)
        self.broker = EmbeddedBroker(root)

    def start(self) -> Self:
        """Start both and make the databases.

        Raises:
            EmbeddedError: One cannot be started; nothing is left behind.
        """
        try:
            self.broker.start()
            self.postgres.start()
            for name in DATABASES:
                self.postgres.create_database(name)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop both; may be called again."""
        self.broker.stop()
        self.postgres.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def kafka(self) -> str:
        """Bootstrap servers, for `DANBAO_KAFKA`."""
        return self.broker.bootstrap

    def database(self, name: str = "danbao") -> str:
        """The owner's URL of one of `DATABASES`, for `DANBAO_DATABASE`."""
        return self.postgres.url(name)

    def check(self) -> None:
        """Check that both still run; call it periodically, because workers retry for ever when one is gone.

        Raises:
            EmbeddedError: One has ended by itself. Neither is restarted: end what runs on them.
        """
        for server in (self.broker.server, self.postgres.server):
            if (code := server.poll()) is not None:
                raise EmbeddedError(f"{server.name} ended with {code}: {server.last_words()}")
