"""Name the forms of an event that are not read, for the person who has to change its producer. Pure.

Read are CloudEvents in structured mode: the value of a record is one event as a JSON object in UTF-8.
"""

from collections.abc import Iterable
from typing import Final

from shared.contracts.parking import ParkReason
from shared.intake.strict_decoder import Parked

Headers = Iterable[tuple[str, bytes | None]]

_BATCH: Final = "a list: batch mode is not read, send each event as a record (structured mode)"
_BINARY: Final = "ce_ headers: binary mode is not read, send structured"
_FORMAT: Final = "a content-type of CloudEvents other than application/cloudevents+json is not read, send JSON"
_BEGINNINGS: Final = {
    b"\xef\xbb\xbf": "a byte order mark (BOM) before the JSON: send UTF-8 without it",
    b"\xff\xfe": "UTF-16: send UTF-8",
    b"\xfe\xff": "UTF-16: send UTF-8",
    b"{\0": "UTF-16: send UTF-8",
    b"\0{": "UTF-16: send UTF-8",
    b"\0": "a byte 0 before the content: the framing of a schema registry (Confluent) is not read, send bare JSON",
    b"\x1f\x8b": "a value packed by gzip is not read, send bare JSON (a producer has a setting for it)",
    b"\x28\xb5\x2f\xfd": "a value packed by zstd is not read, send bare JSON (a producer has a setting for it)",
    b'"': "a JSON text within quotes: send the object itself",
    b'{"schema":': "the envelope of Kafka Connect (schema, payload) is not read, send the payload itself",
    b"[": _BATCH,
}
_KEEP_THEIR_WORDS: Final = {ParkReason.TOO_LARGE, ParkReason.TOO_DEEP}


def name_mode(parked: Parked, value: bytes | None, headers: Headers) -> Parked:
    """Return the same reason with words that name the form, where the event was sent in one that is not read."""
    if parked.reason in _KEEP_THEIR_WORDS:
        return parked
    words = _of_headers(headers, value or b"") or _of_bytes((value or b"")[:16].lstrip(b" \t\r\n"))
    return parked if words is None else Parked(parked.reason, words)


def _of_bytes(head: bytes) -> str | None:
    return next((words for beginning, words in _BEGINNINGS.items() if head.startswith(beginning)), None)


def _of_headers(headers: Headers, value: bytes) -> str | None:
    known = {name.lower(): (content or b"").decode("latin-1").lower() for name, content in headers}
    content_type = known.get("content-type", "").partition(";")[0].strip()
    if content_type.startswith("application/cloudevents-batch"):
        return _BATCH
    if content_type.startswith("application/cloudevents+") and content_type != "application/cloudevents+json":
        return _FORMAT
    if b'"specversion"' not in value and any(name.startswith(("ce_", "ce-")) for name in known):
        return _BINARY
    return None
