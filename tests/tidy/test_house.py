"""Check the form of the code: names, sizes, empty package files, imports that do nothing."""

import ast
import re

from tests.tidy.source import CODE, ROOT, sources

ROOMS_WITHOUT_A_SUBJECT = {
    "util",
    "utils",
    "helper",
    "helpers",
    "common",
    "core",
    "manager",
    "managers",
    "misc",
}
MAX_CODE_LINES = 300
UNEXPLAINED = re.compile(r"# noqa(: [A-Z0-9, ]+)?$")
# Entry points put a program together; nobody imports them but to run it.
ENTRY_POINTS = {"services/cli/__main__.py"}
REQUIRED = ("pyproject.toml", "README.md", "services", "shared", "deploy", "tests", "docker-compose.yml")
# Statements allowed at the top of a module: it declares, and does nothing.
IMPORTS = (ast.Import, ast.ImportFrom)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)


def test_the_required_top_level_is_there() -> None:
    assert [name for name in REQUIRED if not (ROOT / name).exists()] == []


def test_no_module_is_named_after_nothing() -> None:
    paths = [s.path for s in sources(*CODE, "tests") if ROOMS_WITHOUT_A_SUBJECT & set(s.path[:-3].split("/"))]
    assert paths == []


def test_package_files_are_empty() -> None:
    packages = [s for s in sources(*CODE, "tests") if s.path.endswith("__init__.py")]
    assert [s.path for s in packages if s.text] == []


def test_files_are_small() -> None:
    sizes = {s.path: s.code_lines() for s in sources(*CODE, "tests", "benchmarks")}
    assert {path: size for path, size in sizes.items() if size > MAX_CODE_LINES} == {}


def test_importing_a_module_does_nothing() -> None:
    places = [
        f"{s.path}:{node.lineno}"
        for s in sources(*CODE)
        if "/migrations/" not in s.path and s.path not in ENTRY_POINTS
        for node in s.tree.body
        if not (isinstance(node, IMPORTS + DEFINITIONS) or _is_docstring(node) or _is_guard(node))
    ]
    assert places == []


def test_every_lint_exception_gives_its_reason() -> None:
    places = [
        f"{s.path}:{number}"
        for s in sources(*CODE, "tests", "benchmarks")
        for number, line in enumerate(s.text.splitlines(), start=1)
        if UNEXPLAINED.search(line)
    ]
    assert places == []


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_guard(node: ast.stmt) -> bool:
    """`if __name__ == "__main__":` or `if TYPE_CHECKING:`."""
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"__name__ == '__main__'", "TYPE_CHECKING"}
