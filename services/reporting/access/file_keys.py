"""Register the keys of the access key file with the database, which opens a view for registered credentials only."""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.reporting.access.viewers import Viewer, viewer_of
from shared.runtime.access import AccessKeys

_LOCK: Final = text("lock table reporting.file_key in share row exclusive mode")
_DROP: Final = text("delete from reporting.file_key where key_sha256 <> all (cast(:kept as text[]))")
_KEEP: Final = text("""
insert into reporting.file_key (key_sha256, name, role, scope) values (:digest, :name, :role, :scope)
on conflict (key_sha256) do update set name = excluded.name, role = excluded.role, scope = excluded.scope
""")


async def register_file_keys(engine: AsyncEngine, keys: AccessKeys) -> None:
    """Make the database's list that of the file; a key that is in it no more sees nothing from now on.

    The login is the service's own: the portal's can neither read nor change the list.
    """
    viewers: list[Viewer] = [
        viewer for digest, reader in keys.entries() if (viewer := viewer_of(reader, digest)) is not None
    ]
    async with engine.begin() as connection:
        await connection.execute(_LOCK)
        await connection.execute(_DROP, {"kept": [viewer.credential for viewer in viewers]})
        for viewer in viewers:
            row = {"digest": viewer.credential, "name": viewer.name, "role": viewer.role, "scope": viewer.scope}
            await connection.execute(_KEEP, row)
