"""Kafka batches as somebody writes them who keeps to no client: any codec, any count, any length, any bytes."""

import struct
from collections.abc import Iterable
from typing import Any, Final

import cramjam
from aiokafka.errors import for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.util import calc_crc32c, encode_varint

from shared.adapters.kafka.security import Client
from tests.support.kafka_admin import open_admin

MIB: Final = 1024 * 1024
CODECS: Final = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
_XERIAL: Final = struct.pack(">b7sBii", -126, b"SNAPPY\0", 0, 0, 0)[:8] + struct.pack(">ii", 1, 1)


def varint(value: int) -> bytes:
    out = bytearray()
    encode_varint(value, out.append)
    return bytes(out)


def _bytes(value: bytes | None) -> bytes:
    return varint(-1) if value is None else varint(len(value)) + value


def record(
    value: bytes | None, offset: int = 0, key: bytes | None = b"k", headers: bytes = b"\0", time_ms: int = 0
) -> bytes:
    """One record; `headers` is its whole field, count and all."""
    body = b"\0" + varint(time_ms) + varint(offset) + _bytes(key) + _bytes(value) + headers
    return varint(len(body)) + body


def pack(codec: str | None, pieces: Iterable[bytes]) -> bytes:
    """Compress piece by piece, so that a bomb takes no memory where it is made."""
    if codec is None:
        return b"".join(pieces)
    if codec == "snappy":
        blocks = (
            bytes(cramjam.snappy.compress_raw(piece[at : at + 65_536]))
            for piece in pieces
            for at in range(0, len(piece), 65_536)
        )
        return _XERIAL + b"".join(struct.pack(">i", len(block)) + block for block in blocks)
    options: dict[str, Any] = {"lz4": {"block_linked": False}}.get(codec, {})
    packer = getattr(cramjam, codec).Compressor(**options)
    for piece in pieces:
        packer.compress(piece)
    return bytes(packer.finish())


def batch(
    records: bytes,
    *,
    codec: str | None = None,
    count: int = 1,
    last: int | None = None,
    time_ms: int = 0,
    magic: int = 2,
) -> bytes:
    """A batch with a right checksum around `records`, which may be anything and is already packed."""
    attributes = CODECS.get(codec or "", 0)
    last = count - 1 if last is None else last
    tail = struct.pack(">hiqqqhii", attributes, last, time_ms, time_ms, -1, -1, -1, count) + records
    head = struct.pack(">ibI", -1, magic, calc_crc32c(tail))
    return struct.pack(">qi", 0, len(head) + len(tail)) + head + tail


def zeros(size: int, before: bytes = b"") -> Iterable[bytes]:
    """One record with so many bytes of nothing, in pieces."""
    after = b"\0"
    front = b"\0" + varint(0) + varint(0) + _bytes(b"k") + varint(size)
    yield before + varint(len(front) + size + len(after)) + front
    piece = bytes(MIB)
    for _ in range(size // MIB):
        yield piece
    yield bytes(size % MIB) + after


def bomb(codec: str, size: int, *, time_ms: int = 0) -> bytes:
    """A batch of one record that unpacks to more than `size` bytes."""
    return batch(pack(codec, zeros(size)), codec=codec, time_ms=time_ms)


def headers(count: int, header: bytes = b"\0\0") -> bytes:
    """The field of so many headers; the smallest take two bytes each."""
    return varint(count) + header * count


async def send(client: Client, topic: str, raw: bytes, partition: int = 0) -> None:
    """Have the broker take these bytes as a batch; raises what it answers."""
    async with open_admin(client) as admin:
        (node, *_) = (await admin.describe_cluster())["brokers"]
        request = ProduceRequest(None, -1, 30_000, [(topic, [(partition, raw)])])
        answer = await admin._client.send(node["node_id"], request)
        (((_, ((_, code, *_),)),)) = answer.topics
        if code:
            raise for_code(code)
