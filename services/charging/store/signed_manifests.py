"""Manifests that an earlier version wrote without a signature: signed when they are sent or asked for."""

from typing import Final

import msgspec

from shared.adapters.crypto.signing import AuthorSigner
from shared.contracts.manifests import PremiumsCharged, sign_manifest

_SIGNED: Final = b'"signature":"'
"""No text of a manifest can hold it: quotes within one are escaped."""


def signed_payload(payload: bytes, author: AuthorSigner) -> bytes:
    """The manifest's bytes as they are, or with the author's signature where they have none."""
    if _SIGNED in payload:
        return payload
    manifest = msgspec.json.decode(payload, type=PremiumsCharged)
    return msgspec.json.encode(sign_manifest(manifest, author.key_id, author.sign))
