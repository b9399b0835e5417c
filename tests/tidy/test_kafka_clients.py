"""No Kafka client is made without the settings of `client_options`: it would log in as nobody, in the clear."""

import ast
from collections.abc import Iterator
from typing import Final

import pytest

from tests.tidy.source import Source, sources

MAKERS: Final = {"AIOKafkaConsumer", "AIOKafkaProducer", "AIOKafkaAdminClient", "AIOKafkaClient", "KafkaBroker"}
RAW: Final = {"create_conn"}
"""Speaks to one broker by its address, which is split off the options."""
GIVERS: Final = {"client_options", "broker_options", "client_of", "client"}
HOLDERS: Final = ("client", "_client", "connection")
EXEMPT: Final = {
    # file: why it speaks to a broker that has no identities
    "deploy/embedded/broker.py": "connects to the broker that it starts itself, on loopback",
    "tests/integration/adapters/test_embedded_stack.py": "likewise",
    "benchmarks/rivals/models.py": "the naive service that ours is held against, on the embedded broker",
}


def offences(source: Source) -> Iterator[str]:
    """Lines that make a client with separate settings."""
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        if name in MAKERS | RAW and not _is_given(node, named_only=name in MAKERS):
            yield f"{source.path}:{node.lineno} {name}"


def _is_given(call: ast.Call, *, named_only: bool) -> bool:
    named = {keyword.arg for keyword in call.keywords}
    if named_only and named & {"bootstrap_servers", "security_protocol", "sasl_mechanism", "ssl_context"}:
        return False
    return any(_is_giver(keyword.value) for keyword in call.keywords if keyword.arg is None)


def _is_giver(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return ast.unparse(value.func).rpartition(".")[2] in GIVERS
    return ast.unparse(value).rpartition(".")[2] in HOLDERS


def test_every_client_is_made_with_the_settings() -> None:
    checked = sources("shared", "services", "deploy", "benchmarks", "tests")
    lines = [line for source in checked if source.path not in EXEMPT for line in offences(source)]
    assert not lines, f"make these with **client_options(settings), in tests with **client_of(broker): {lines}"
    assert {source.path for source in checked if any(offences(source))} == set(EXEMPT), "an exemption that nobody needs"


@pytest.mark.parametrize(
    ("line", "is_wrong"),
    [
        ("AIOKafkaConsumer('t', bootstrap_servers='b:9092')", True),
        ("aiokafka.AIOKafkaProducer()", True),
        ("AIOKafkaProducer(**own)", True),
        ("AIOKafkaProducer(**client_options(settings), bootstrap_servers='b')", True),
        ("KafkaBroker(settings.kafka)", True),
        ("create_conn(host, port)", True),
        ("AIOKafkaConsumer('t', **client_options(settings))", False),
        ("AIOKafkaAdminClient(**self._client)", False),
    ],
)
def test_the_rule_sees_what_it_is_for(line: str, is_wrong: bool) -> None:
    assert bool(list(offences(Source("x.py", line, ast.parse(line))))) is is_wrong
