"""What code may touch: the clock in one place, no floats near money, a domain that only computes."""

import ast
import sys

import pytest

from tests.tidy.source import CODE, Source, sources

WALL_CLOCK = {
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.time_ns",
    "time.localtime", "time.gmtime", "datetime.datetime.now", "datetime.date.today",
}  # fmt: skip
CLOCK = "shared/runtime/clock.py"
COMMANDS = ("services/cli/", "services/demo/")  # a person's command shows rates and dates of this moment
MONEY = ("money", "tariff", "rating", "journal", "billing", "coverage")
DOMAIN_MAY_IMPORT = {"msgspec", "shared"}
# In the standard library, but neither pure nor repeatable.
DOMAIN_MAY_NOT_IMPORT = {
    "asyncio", "logging", "os", "pathlib", "random", "secrets", "socket", "sqlite3", "subprocess", "tempfile",
    "threading", "time", "urllib", "uuid",
}  # fmt: skip


def test_only_the_clock_asks_what_time_it_is() -> None:
    places = [
        f"{s.path}:{line} {use}"
        for s in sources(*CODE)
        if s.path != CLOCK and not s.path.startswith(COMMANDS)
        for line, use in s.uses()
        if use in WALL_CLOCK
    ]
    assert places == []


def test_the_domain_imports_the_standard_library_and_msgspec_only() -> None:
    places = [
        f"{s.path}:{line} {name}"
        for s in sources("shared/domain")
        for line, name in s.imports()
        if not _may_be_in_domain(name)
    ]
    assert places == []


def test_the_domain_never_waits() -> None:
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    places = [
        f"{s.path}:{node.lineno}"
        for s in sources("shared/domain")
        for node in ast.walk(s.tree)
        if isinstance(node, waiting)
    ]
    assert places == []


@pytest.mark.parametrize("module", MONEY)
def test_no_float_comes_near_money(module: str) -> None:
    (source,) = (s for s in sources("shared/domain") if s.path.endswith(f"/{module}.py"))
    assert _floats(source) == []


def _may_be_in_domain(name: str) -> bool:
    top = name.partition(".")[0]
    if top == "shared":
        return name.startswith("shared.domain")
    return top in DOMAIN_MAY_IMPORT or (top in sys.stdlib_module_names and top not in DOMAIN_MAY_NOT_IMPORT)


def _floats(source: Source) -> list[str]:
    """Where a float is written, named, or made by dividing."""
    places = []
    for node in ast.walk(source.tree):
        match node:
            case ast.Constant(value=float()) | ast.Name(id="float"):
                places.append(f"{source.path}:{node.lineno}")
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                places.append(f"{source.path}:{node.lineno}")
            case _:
                pass
    return places
