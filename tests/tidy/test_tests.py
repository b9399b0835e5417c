"""What a test may do: wait for conditions instead of sleeping, use real parts instead of patching names."""

from tests.tidy.source import sources

SLEEPS = {"time.sleep", "asyncio.sleep", "anyio.sleep"}
WAITING = "tests/waiting.py"


def test_no_test_sleeps() -> None:
    found = [
        f"{s.path}:{line}" for s in sources("tests") if s.path != WAITING for line, use in s.uses() if use in SLEEPS
    ]
    assert found == []


def test_nothing_is_patched_by_name() -> None:
    found = [f"{s.path}:{line}" for s in sources("tests") for line, name in s.imports() if name == "unittest.mock"]
    found += [f"{s.path}:{line}" for s in sources("tests") for line, use in s.uses() if use == "monkeypatch.setattr"]
    assert found == []
