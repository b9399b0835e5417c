"""An event in a form that is not read is parked with words that name the form and what to send."""

import gzip
import json
from collections.abc import Sequence
from functools import partial

import pytest

from services.charging.ingest.batch_reader import EventReader
from shared.adapters.files.regions import known_regions
from shared.contracts.parking import ParkReason
from shared.contracts.topics import orders_topic
from tests.integration.charging.charging_harness import LIMITS, NOON, RIDES, Record, accepted, demo_scheme

packed = partial(gzip.compress, mtime=0)
"""Gives equal bytes each time: a test is named by its parameters."""

GOOD = accepted("o-1").value or b""
DATA = json.dumps(json.loads(GOOD)["data"]).encode()
CE = [("ce_specversion", b"1.0"), ("ce_id", b"x"), ("ce_source", b"s"), ("ce_type", b"order.accepted.v1")]
JSON = [("content-type", b"application/json")]
BINARY = "ce_ headers: binary mode is not read, send structured"
BATCH = "a list: batch mode is not read, send each event as a record (structured mode)"
FRAMED = "a byte 0 before the content: the framing of a schema registry (Confluent) is not read, send bare JSON"


def parked(value: bytes | None, headers: Sequence[tuple[str, bytes | None]] = ()) -> tuple[str, str] | None:
    """Reason and detail of a record that is parked; None for one that is taken."""
    reader = EventReader(demo_scheme(), known_regions(), {RIDES: 1}, LIMITS)
    record = Record(orders_topic(RIDES), 0, 0, round(NOON.timestamp() * 1_000), b"o-1", value, headers)
    events = reader.read([record], 1).parked
    return (events[0].reason, events[0].detail) if events else None


@pytest.mark.parametrize(
    ("value", "headers", "words"),
    [
        (DATA, CE + JSON, BINARY),
        (DATA, [(name.replace("_", "-").title(), content) for name, content in CE], BINARY),
        (b"", CE, BINARY),
        (b"\0\0\0\0\7\2\6abc", CE, BINARY),
        (b"[" + GOOD + b"," + GOOD + b"]", [], BATCH),
        (b"[" + GOOD + b"]", [("content-type", b"application/cloudevents-batch+json; charset=utf-8")], BATCH),
        (b" \n[]", [], BATCH),
        (b"\0\0\0\0\7" + GOOD, [], FRAMED),
        (b"\0\0\0\0\x99" + GOOD, [], FRAMED),
        (b"\xef\xbb\xbf" + GOOD, [], "a byte order mark (BOM) before the JSON: send UTF-8 without it"),
        (GOOD.decode().encode("utf-16"), [], "UTF-16: send UTF-8"),
        (GOOD.decode().encode("utf-16-le"), [], "UTF-16: send UTF-8"),
        (GOOD.decode().encode("utf-16-be"), [], "UTF-16: send UTF-8"),
        (json.dumps(GOOD.decode()).encode(), [], "a JSON text within quotes: send the object itself"),
        (packed(GOOD), [], "a value packed by gzip is not read, send bare JSON"),
        (b'{"schema":null,"payload":' + GOOD + b"}", [], "the envelope of Kafka Connect (schema, payload) "),
        (b"<event/>", [("content-type", b"application/cloudevents+xml")], "a content-type of CloudEvents"),
    ],
)  # fmt: skip
def test_the_form_is_named(value: bytes, headers: Sequence[tuple[str, bytes | None]], words: str) -> None:
    """Case 26, and its siblings."""
    outcome = parked(value, headers)
    assert outcome is not None
    assert outcome[1].startswith(words)


def test_what_is_read_is_not_judged_by_its_headers() -> None:
    """Case 26: a structured event stays one with headers of binary mode, and keeps the words of the other fault."""
    assert parked(GOOD, CE + JSON) is None
    wrong = GOOD.replace(b'"ride_hailing"', b'"taxis"')
    assert parked(wrong, CE) == parked(wrong)
    assert parked(b"x" * 100_000, CE) == parked(b"x" * 100_000)
    assert parked(None) == (ParkReason.EMPTY, "the message has no bytes")
