"""The pinned versions fit what the project requires, and the files hold nothing but versions and hashes."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tidy.source import ROOT

FILES = ("requirements/runtime.txt", "requirements/archive.txt", "requirements/dev.txt")
PIN = re.compile(r"^([a-z0-9._-]+)(?:\[[a-z0-9,-]+\])?==([^\s;]+)(?: ; .+)? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")


def pins(file: str) -> dict[str, str]:
    """Version by name."""
    pins = (PIN.match(line) for line in (ROOT / file).read_text().splitlines())
    return {canonicalize_name(match[1]): match[2] for match in pins if match}


def requirements(*extras: str) -> list[Requirement]:
    """What pyproject.toml requires, with these extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = project["dependencies"] + [text for name in extras for text in project["optional-dependencies"][name]]
    return [Requirement(text) for text in texts]


@pytest.mark.parametrize("file", FILES)
def test_every_line_is_a_version_a_hash_or_a_comment(file: str) -> None:
    lines = (ROOT / file).read_text().splitlines()
    assert [line for line in lines if not (PIN.match(line) or HASH.match(line) or re.match(r" *#|$", line))] == []


@pytest.mark.parametrize(
    ("files", "extras"), [(FILES[:1], ()), (FILES[:2], ("archive",)), (FILES[2:], ("archive", "embedded", "dev"))]
)
def test_every_requirement_is_pinned_within_its_bounds(files: tuple[str, ...], extras: tuple[str, ...]) -> None:
    pinned = {name: version for file in files for name, version in pins(file).items()}
    unmet = [str(r) for r in requirements(*extras) if not r.specifier.contains(pinned[canonicalize_name(r.name)])]
    assert unmet == []


def test_an_image_gets_the_versions_the_tests_ran_with() -> None:
    services, command, tests = (pins(file) for file in FILES)
    assert services.items() | command.items() <= tests.items()
    assert not services.keys() & command.keys()
    assert not {"pyarrow", "adbc-driver-postgresql"} & services.keys()
