"""Which system user runs the database server, and what that user can reach.

PostgreSQL refuses to run as root, so root lends it to a user without any rights. Nothing outside our own
folder is opened for that user: no mode of a parent folder is ever changed.
"""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

CANDIDATES = ("nobody", "postgres", "daemon")


@dataclass(frozen=True, slots=True)
class SystemUser:
    """A user of this machine by name and numbers."""

    name: str
    uid: int
    gid: int


def find_system_user() -> SystemUser | None:
    """The user a server is lent to when we are root, else None: it runs as ourselves.

    Raises:
        LookupError: We are root and the machine has none of the usual users.
    """
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return SystemUser(name, entry.pw_uid, entry.pw_gid)
    raise LookupError(f"PostgreSQL does not run as root, and there is no system user {' or '.join(CANDIDATES)}")


def can_enter(folder: Path) -> bool:
    """Whether everybody may pass through `folder` and all its parents."""
    folder = folder.resolve()
    return all(part.stat().st_mode & stat.S_IXOTH for part in (folder, *folder.parents))


def can_read(folder: Path) -> bool:
    """Whether everybody may pass to `folder` and list it."""
    return can_enter(folder) and bool(folder.stat().st_mode & stat.S_IROTH)
