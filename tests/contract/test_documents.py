"""The published contracts are those of the code, and their samples decode."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared.contracts import topics
from shared.contracts.events import SOURCE_PREFIX, Event
from shared.contracts.manifests import DayClosed
from shared.domain.scheme.enterprise import is_valid_uscc
from tools import contracts

SAMPLES = sorted((contracts.DIRECTORY / "samples").glob("*.json"))


def test_documents_are_those_of_the_code() -> None:
    assert contracts.outdated() == [], "run `make docs`"


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.stem)
def test_sample_decodes_as_the_event_it_is_named_after(file: Path) -> None:
    event = msgspec.json.decode(file.read_bytes(), type=Event)
    reported = json.loads(file.read_text(encoding="utf-8"))
    assert file.name.startswith(reported["type"])
    assert is_valid_uscc(event.source.removeprefix(SOURCE_PREFIX))


@pytest.mark.parametrize("topic", [topics.INJURIES, topics.TOTALS])
def test_sample_of_what_others_tell_decodes(topic: str) -> None:
    body = (contracts.DIRECTORY / "samples" / "messages" / f"{topic}.json").read_bytes()
    reported = msgspec.json.decode(body, type=contracts.MESSAGES[topic])
    assert msgspec.to_builtins(reported) == json.loads(body)
    with pytest.raises(msgspec.ValidationError, match="surprise"):
        msgspec.json.decode(body.replace(b"{", b'{"surprise": 1,', 1), type=contracts.MESSAGES[topic])


def test_sample_of_a_closed_day_decodes() -> None:
    body = (contracts.DIRECTORY / "samples" / "messages" / f"{topics.DAYS_CLOSED}.json").read_bytes()
    reported = msgspec.json.decode(body, type=DayClosed)
    assert msgspec.to_builtins(reported) == json.loads(body)
    ended = [total for total in reported.totals if total.outcome in {"charged", "excluded"}]
    assert sum(total.orders for total in ended) == sum(sum(hour.orders) for hour in reported.hours)


def test_every_event_has_a_sample() -> None:
    assert {name for name in contracts.EVENTS for file in SAMPLES if file.name == f"{name}.json"} == set(
        contracts.EVENTS
    )


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.stem)
def test_sample_with_an_unknown_field_is_refused(file: Path) -> None:
    reported = json.loads(file.read_text(encoding="utf-8"))
    reported["data"]["surprise"] = 1
    with pytest.raises(msgspec.ValidationError, match="surprise"):
        msgspec.json.decode(json.dumps(reported).encode(), type=Event)


def test_every_field_of_an_order_event_says_what_it_is() -> None:
    for name in contracts.EVENTS:
        schema = json.loads(contracts.documents()[f"events/{name}.json"])
        data = schema["$defs"][
            schema["$defs"][schema["$ref"].rpartition("/")[2]]["properties"]["data"]["$ref"].rpartition("/")[2]
        ]
        for field, what in data["properties"].items():
            assert is_bounded(what, schema), f"{name}: {field}"


def is_bounded(what: dict[str, Any], schema: dict[str, Any]) -> bool:
    """Whether a field has a pattern, bounds, a format, a list of values, or its own description."""
    if "$ref" in what:
        return True
    parts = what.get("anyOf", [what])
    said = {"pattern", "minimum", "maximum", "format", "enum", "description", "items", "maxItems"}
    return any(said & part.keys() for part in parts)


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = contracts.asyncapi()
    for reference in references(document):
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def references(part: Any) -> list[str]:
    """Every `$ref` in a document."""
    if isinstance(part, dict):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [reference for value in part.values() for reference in references(value)]
    return [reference for value in part for reference in references(value)] if isinstance(part, list) else []
