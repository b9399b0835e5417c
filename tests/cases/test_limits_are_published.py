"""Every limit is in the contract, and what is parked for its form says so in words, not in a pattern."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from shared.contracts.events import FORMS
from shared.intake.strict_decoder import Parked, decode
from tools.contracts import DIRECTORY, EVENTS, LIMITS, limits

SAMPLES = DIRECTORY / "samples"


def fields_with_patterns() -> set[str]:
    """Names of the fields of events whose text has a pattern."""
    _, schemas = msgspec.json.schema_components(EVENTS.values(), ref_template="#/{name}")
    return {
        name
        for schema in schemas.values()
        for name, field in schema.get("properties", {}).items()
        for part in [field, *field.get("anyOf", [])]
        if "pattern" in part
    }


def test_every_field_with_a_pattern_has_its_form_in_words() -> None:
    assert fields_with_patterns() <= FORMS.keys()
    assert not [words for words in FORMS.values() if set(words) & set("^$[]{}\\\\")]


def broken(content: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every field with a pattern, one in each event, with a text that has another form."""
    if isinstance(content, dict):
        for name, value in content.items():
            if name in FORMS and isinstance(value, str) and name != "industry":
                yield name, (*path, name)
            yield from broken(value, (*path, name))
    if isinstance(content, list):
        for place, value in enumerate(content):
            yield from broken(value, (*path, place))


@pytest.mark.parametrize("sample", sorted(path.name for path in SAMPLES.glob("*.json")))
def test_what_is_parked_for_its_form_says_it_in_words(sample: str) -> None:
    text = (SAMPLES / sample).read_bytes()
    for field, path in broken(msgspec.json.decode(text)):
        event = msgspec.json.decode(text)
        inner: Any = event
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = "ß ?"
        parked = decode(msgspec.json.encode(event), 1_000_000)
        assert isinstance(parked, Parked)
        assert FORMS[field] in parked.detail, parked.detail
        assert "regex" not in parked.detail
        assert "^" not in parked.detail


def test_the_page_of_limits_is_that_of_the_code() -> None:
    page = (DIRECTORY / LIMITS).read_text(encoding="utf-8")
    assert page == limits()
    for limit in ("65,536 bytes", "300 s", "30 days", "last 1,000 events", "50%", "100 a second", "366"):
        assert limit in page, limit
