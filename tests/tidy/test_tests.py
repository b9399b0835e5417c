"""What a test may do: wait for conditions instead of sleeping, use real parts instead of patching names."""

import ast

from tests.tidy.source import Source, sources

WAITING = {"tests/support/waiting.py", "tests/tidy/test_tests.py"}
"""Where a condition is waited for, and what checks for sleeps."""


def test_no_test_sleeps() -> None:
    """Not by any name it may be imported under, nor in a child: one that has to live until it is killed pauses."""
    places = [f"{s.path}:{line}" for s in sources("tests") if s.path not in WAITING for line in _sleeps(s)]
    assert places == []


def _sleeps(source: Source) -> list[int]:
    return [getattr(node, "lineno", 0) for node in ast.walk(source.tree) if _is_sleep(node)]


def _is_sleep(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name == "sleep"
        case ast.ImportFrom(names=names):
            return any(alias.name == "sleep" for alias in names)
        case ast.Constant(value=str(text)):
            return "sleep(" in text
        case _:
            return False


def test_the_look_for_sleeps_finds_them() -> None:
    ways = (
        "import time as t; t.sleep(1)",
        "from asyncio import sleep",
        "from time import sleep as pause; pause(1)",
        "run([python, '-c', 'import time; time.sleep(9)'])",
        "await pool.execute('select pg_sleep(1)')",
        "await anyio.sleep(1)",
    )
    assert [way for way in ways if not _sleeps(Source("", way, ast.parse(way)))] == []
    assert _sleeps(Source("", "", ast.parse("worker_is_asleep = 'the sleep of reason'"))) == []


def test_nothing_is_patched_by_name() -> None:
    places = [f"{s.path}:{line}" for s in sources("tests") for line, name in s.imports() if name == "unittest.mock"]
    places += [f"{s.path}:{line}" for s in sources("tests") for line, use in s.uses() if use == "monkeypatch.setattr"]
    assert places == []
