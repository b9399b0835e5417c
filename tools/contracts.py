"""The published form of what crosses a wire, from the code that decodes it: JSON Schemas and an AsyncAPI document.

`docs/contracts/` holds them, checked in; its folder `samples/` is written by hand and decoded by a test.
"""

import json
import re
import sys
from typing import Any, Final

import msgspec
from pydantic import BaseModel, TypeAdapter

from shared.contracts import events, manifests, notices, reports, topics
from shared.runtime.settings import HOUSE

DIRECTORY: Final = HOUSE / "docs" / "contracts"
CITATION: Final = re.compile(r"docs/decisions/(\d{4})(?!\d|-)")
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
VERSION: Final = "1.0.0"
EVENTS: Final[dict[str, type[msgspec.Struct]]] = {
    "order.accepted.v1": events.OrderAccepted,
    "order.completed.v1": events.OrderCompleted,
    "order.cancelled.v1": events.OrderCancelled,
    "day.declared.v1": events.DayDeclared,
}
MESSAGES: Final[dict[str, type[msgspec.Struct]]] = {
    topics.MANIFESTS: manifests.PremiumsCharged,
    topics.DAYS_CLOSING: manifests.DayClosing,
    topics.DAYS_COUNTED: manifests.DayCounted,
    topics.DAYS_CLOSED: manifests.DayClosed,
    topics.STATEMENTS: manifests.StatementIssued,
    topics.REMITTANCES: manifests.RemittanceReceived,
    topics.INJURIES: notices.InjuryNoticed,
    topics.TOTALS: notices.TotalReported,
}
REPORTS: Final[dict[str, type[BaseModel]]] = {
    "coverage": reports.CoverageReport,
    "registration": reports.RegistrationReport,
    "declaration": reports.DeclarationReport,
    "payment": reports.PaymentReport,
    "receipt": reports.Receipt,
    "refusal": reports.Refusal,
    "reconciliation": reports.Reconciliation,
}
_FLOW: Final[dict[str, tuple[str, str]]] = {
    topics.MANIFESTS: ("charging", "ledger"),
    topics.DAYS_CLOSING: ("ledger", "charging"),
    topics.DAYS_COUNTED: ("charging", "ledger"),
    topics.DAYS_CLOSED: ("ledger", "reporting"),
    topics.STATEMENTS: ("ledger", "reporting"),
    topics.REMITTANCES: ("the collecting authority", "ledger"),
    topics.INJURIES: ("the source of injury notices", "reporting"),
    topics.TOTALS: ("an independent meter", "reporting"),
}


def documents() -> dict[str, str]:
    """File name to text, of everything that is generated."""
    structs = {f"events/{name}.json": _struct_schema(name, kind) for name, kind in EVENTS.items()}
    structs |= {f"messages/{name}.json": _struct_schema(name, kind) for name, kind in MESSAGES.items()}
    models = {f"reports/{name}.json": _model_schema(name, kind) for name, kind in REPORTS.items()}
    return {name: _text(content) for name, content in {**structs, **models, "asyncapi.json": asyncapi()}.items()}


def write_documents() -> int:
    """Write them all; returns how many there are."""
    texts = documents()
    for name, text in texts.items():
        file = DIRECTORY / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for left in set(_present()) - texts.keys():
        (DIRECTORY / left).unlink()
    return len(texts)


def outdated() -> list[str]:
    """Names of the files that are missing, differ from the code, or belong to nothing any more."""
    texts = documents()
    present = _present()
    return sorted(name for name in texts.keys() | present.keys() if texts.get(name) != present.get(name))


def _present() -> dict[str, str]:
    """The generated files that are there; samples and READMEs are written by hand."""
    files = [file for file in DIRECTORY.rglob("*.json") if "samples" not in file.parts]
    return {file.relative_to(DIRECTORY).as_posix(): file.read_text(encoding="utf-8") for file in files}


def _struct_schema(name: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {"$schema": DIALECT, "title": name, **msgspec.json.schema(kind, ref_template="#/$defs/{name}")}


def _model_schema(name: str, kind: type[BaseModel]) -> dict[str, Any]:
    return {"$schema": DIALECT, **TypeAdapter(kind).json_schema(), "title": name}


def _text(content: dict[str, Any]) -> str:
    return CITATION.sub(_cite_file, json.dumps(content, ensure_ascii=False, indent=2)) + "\n"


def _cite_file(citation: re.Match[str]) -> str:
    """The file of the decision record that is cited by its number, so that a reader of the schema can open it."""
    (file,) = (HOUSE / "docs" / "decisions").glob(f"{citation[1]}-*.md")
    return file.relative_to(HOUSE).as_posix()


def asyncapi() -> dict[str, Any]:
    """Every topic with its messages: AsyncAPI 3.0."""
    everything = {**EVENTS, **MESSAGES}
    _, schemas = msgspec.json.schema_components(everything.values(), ref_template="#/components/schemas/{name}")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Danbao",
            "version": VERSION,
            "description": "Order events in, a billed and reported month out. Records are JSON; keys are named below.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {"orders": _orders_channel(), **{_id(name): _channel(name) for name in MESSAGES}},
        "operations": _operations(),
        "components": {
            "schemas": schemas,
            "messages": {_id(name): _message(name, kind) for name, kind in everything.items()},
        },
    }


def _orders_channel() -> dict[str, Any]:
    return {
        "address": f"{topics.ORDERS_PREFIX}{{uscc}}",
        "description": "Order events of one enterprise, written by it and nobody else; keyed by order id.",
        "parameters": {"uscc": {"description": "unified social credit code of the enterprise, 18 signs"}},
        "messages": {_id(name): {"$ref": f"#/components/messages/{_id(name)}"} for name in EVENTS},
    }


def _channel(topic: str) -> dict[str, Any]:
    source, target = _FLOW[topic]
    return {
        "address": topic,
        "description": f"From {source} to {target}; one partition.",
        "messages": {_id(topic): {"$ref": f"#/components/messages/{_id(topic)}"}},
    }


def _message(name: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {
        "name": name,
        "summary": (kind.__doc__ or name).strip().splitlines()[0].strip("`"),
        "contentType": "application/cloudevents+json" if name in EVENTS else "application/json",
        "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
    }


def _operations() -> dict[str, Any]:
    """What an enterprise sends, and what the services hand on, seen from the services."""
    operations: dict[str, Any] = {
        "takeOrders": {
            "action": "receive",
            "channel": {"$ref": "#/channels/orders"},
            "summary": "Charging takes every event of every enterprise.",
        }
    }
    for topic, (source, target) in _FLOW.items():
        action = "receive" if topic == topics.REMITTANCES else "send"
        operations[f"{action}{_id(topic)}"] = {
            "action": action,
            "channel": {"$ref": f"#/channels/{_id(topic)}"},
            "summary": f"{source} sends to {target}.",
        }
    return operations


def _id(name: str) -> str:
    """A name as AsyncAPI wants its keys."""
    return "".join(part.capitalize() for part in name.split("."))


def main() -> int:
    """Write the documents; with `--check` change nothing, and return 1 when one differs from the code."""
    if sys.argv[1:] != ["--check"]:
        print(f"{write_documents()} documents are up to date")
        return 0
    different = outdated()
    if different:
        print(f"{', '.join(different)} differ from the code: run `make docs`", file=sys.stderr)
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())
