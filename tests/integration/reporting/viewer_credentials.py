"""Make viewers that the database knows, without signing in."""

import secrets

import asyncpg

from services.reporting.access.viewers import Role, Viewer

_LINKED = """
with link as (insert into reporting.api_key (key_sha256, name, role, scope, made_by, ends_at)
              values ($1, 'link', 'worker', $2, 'test', now() + interval '1 day') returning key_id, ends_at)
insert into reporting.session (session_sha256, key_id, ends_at) select $1, key_id, ends_at from link
"""


async def viewer_with_key(owner: asyncpg.Connection, role: Role, scope: str | None = None) -> Viewer:
    """A viewer whom the database knows: by a key of the file, a worker by a session that a link opened."""
    digest = secrets.token_hex(32)
    if role is Role.WORKER:
        await owner.execute(_LINKED, digest, scope)
    else:
        key = "insert into reporting.file_key (key_sha256, name, role, scope) values ($1, $2, $3, $4)"
        await owner.execute(key, digest, role[0], role, scope)
    return Viewer(role[0], role, scope, credential=digest)
