"""A folder for one embedded part, gone when its owner is.

The owner holds a lock on a file in the folder as long as it lives. A later start removes the folders whose
lock nobody holds: only folders that match our names and belong to the user we run as.
"""

import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Self

from deploy.embedded.account import can_enter
from deploy.embedded.children import EmbeddedError

PREFIX = "danbao-embedded-"
LOCK = "lock"


class StateDirectory:
    """A new folder under `root` (the system's folder for temporary files when None).

    With `shared` another system user can pass through it (mode 0711); else nobody else can (0700).
    """

    def __init__(self, root: Path | None = None, *, shared: bool = False) -> None:
        root = root or find_root(shared=shared)
        sweep(root)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
        self.path.chmod(0o711 if shared else 0o700)
        self._lock = _take_new_lock(self.path)

    def remove(self) -> None:
        """Remove the folder with everything in it; a second call does nothing."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def find_root(*, shared: bool) -> Path:
    """The first usual folder for temporary files that can be used.

    Raises:
        EmbeddedError: Another user must pass, and all of them are closed.
    """
    usual = (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - mkdtemp makes it ours
    for root in usual:
        if root.is_dir() and os.access(root, os.W_OK | os.X_OK) and (not shared or can_enter(root)):
            return root
    raise EmbeddedError(f"no folder for temporary files that other users can pass through: {usual[0]} is closed")


def sweep(root: Path) -> list[Path]:
    """Remove what owners left under `root` that died without a word; returns what was removed."""
    return [folder for folder in root.glob(f"{PREFIX}*") if _is_ours(folder) and _remove_if_left(folder)]


def _is_ours(folder: Path) -> bool:
    """Whether it is a real folder (no link) of the user we run as."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


def _remove_if_left(folder: Path) -> bool:
    """Remove `folder` when the lock in it is free.

    A folder without a lock file is one that is being made at this moment, so it stays.
    """
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def _take_new_lock(folder: Path) -> int:
    """Make the lock file, held from the moment it can be seen under its name."""
    unseen = folder / f"{LOCK}.new"
    lock = os.open(unseen, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    unseen.rename(folder / LOCK)
    return lock
