"""Signed manifests of a day: the vectors for other languages, checked by us, by the model, by Java and by Go alone."""

import base64
import json
import os
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared.adapters.crypto.signing import is_signed
from shared.contracts.events import DayDeclared
from shared.domain.evidence.declaration_keys import DeclarationKeys, EnterpriseKey, declaration_statement
from shared.domain.evidence.signed_note import VerifierKey
from shared.intake.declaration_signatures import find_signature
from shared.intake.strict_decoder import Parked
from tests.foreign.go_program import find_go
from tests.model.declarations import data_in
from tests.support.tools import needs, tool

pytestmark = pytest.mark.exhaustive

HERE = Path(__file__).parent / "declarations"
VECTORS: list[dict[str, Any]] = json.loads((HERE / "vectors.json").read_text(encoding="utf-8"))
ANSWERS = ["true" if vector["holds"] else "false" for vector in VECTORS]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["what"])
def test_a_vector_is_what_charging_takes(vector: dict[str, Any]) -> None:
    value, day = vector["event"].encode(), date.fromisoformat(vector["day"])
    assert data_in(value) == vector["data"].encode()
    made = declaration_statement(vector["uscc"], day, vector["revision"], vector["data"].encode())
    assert made == vector["statement"].encode()
    keys = DeclarationKeys([EnterpriseKey(vector["uscc"], VerifierKey.parse(vector["vkey"]), day)], is_signed)
    event = msgspec.json.decode(value, type=DayDeclared)
    signature = find_signature(keys, vector["uscc"], event, value)
    assert isinstance(signature, Parked) is not vector["holds"]
    if not isinstance(signature, Parked):
        assert signature is not None
        assert signature.data == vector["data"].encode()


@needs("go")
def test_go_says_the_same(tmp_path: Path) -> None:
    env = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    program = tmp_path / "verify"
    subprocess.run([str(find_go()), "build", "-o", program, "verify.go"], cwd=HERE, env=env, check=True)
    reported = subprocess.run([program], input=json.dumps(VECTORS), capture_output=True, text=True, check=True)
    assert reported.stdout.split() == ANSWERS


@needs("java")
def test_java_says_the_same() -> None:
    reported = subprocess.run(
        [tool("java"), str(HERE / "VerifyDeclaration.java")],
        input="\n".join(map(_line, VECTORS)) + "\n", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert reported.stdout.split() == ANSWERS


def _line(vector: dict[str, Any]) -> str:
    named = f"{vector['uscc']}\n{vector['day']}\n{vector['revision']}"
    fields = (
        bytes.fromhex(vector["public_key"]),
        named.encode(),
        vector["data"].encode(),
        vector["signature"].encode(),
    )
    return " ".join(base64.b64encode(field).decode() for field in fields)
