"""What tells the same message from another one under the same key."""

import hashlib

import msgspec


def sha256(content: bytes) -> bytes:
    """32 bytes."""
    return hashlib.sha256(content).digest()


def content_hash(message: msgspec.Struct) -> bytes:
    """SHA-256 of the message as this project encodes it, so spacing and field order do not count."""
    return sha256(msgspec.json.encode(message))
