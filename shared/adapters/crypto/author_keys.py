"""The authors that a process knows, and the key that it signs with, as its settings name them."""

from shared.adapters.crypto.signing import AuthorSigner, is_signed
from shared.adapters.files.vkeys import read_authors
from shared.domain.errors import Refused
from shared.domain.evidence.authors import Authors, Role
from shared.runtime.settings import Settings


def load_signer(settings: Settings, role: Role, identity: str = "") -> AuthorSigner:
    """The signer of this process; raises Refused where its key is missing or no known key of this role."""
    if settings.author_key is None or settings.vkeys is None:
        raise Refused(f"DANBAO_AUTHOR_KEY and DANBAO_VKEYS: {role} signs what it says, with a key that readers know")
    return AuthorSigner.load(settings.author_key, read_authors(settings.vkeys), role, identity)


def load_authors(settings: Settings, *needed: Role) -> Authors:
    """The known authors; raises Refused where there is none of a role that this process listens to."""
    authors = Authors(read_authors(settings.vkeys) if settings.vkeys else (), is_signed)
    if missing := [role for role in needed if not authors.has(role)]:
        raise Refused(f"DANBAO_VKEYS names no author of {', '.join(missing)}: their messages could not be checked")
    return authors
