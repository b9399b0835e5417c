"""`danbao bench` and `danbao contracts`: what a developer runs."""

# ruff: noqa: PLC0415 - a command imports its own work, so that --help is quick

import json
from typing import Annotated

import typer

from shared.runtime.exits import CommandFailed, Exit


def add_commands(app: typer.Typer) -> None:
    """Give the application these commands."""
    app.command()(bench)
    app.command()(contracts)


def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Rows to measure; all of them without a name.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    is_short: Annotated[
        bool, typer.Option("--short", help="A minute or so, ratios only; 1 when one does not hold.")
    ] = False,
) -> int:
    """Measure on the embedded parts, and hold every figure against its target (docs/performance.md)."""
    try:
        from benchmarks import suite
        from benchmarks.table import as_text
        from shared.runtime.observability import configure_logging
    except ImportError as error:
        raise CommandFailed("the benchmarks are part of a checkout, not of an installed package") from error
    configure_logging("bench", "warning")  # what closes and bills in this process would tell it on standard output
    try:
        rows, about = suite.run(names or [], is_short=is_short)
    except suite.UnknownRowError as error:
        raise typer.BadParameter(str(error)) from error
    print(json.dumps({"rows": [row.told() for row in rows], "about": about}) if as_json else as_text(rows))
    if about["failures"]:
        raise CommandFailed(
            "; ".join(f"{name} could not be measured: {why}" for name, why in about["failures"].items())
        )
    return Exit.FAILED if is_short and not all(row.holds for row in rows) else Exit.OK


def contracts(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; 1 when a document differs.")] = False,
) -> int:
    """Write JSON Schemas and the AsyncAPI document of what crosses a wire to docs/contracts, from the code."""
    from tools.contracts import outdated, write_documents

    if not check:
        print(f"{write_documents()} documents are up to date")
        return Exit.OK
    if different := outdated():
        raise CommandFailed(f"{', '.join(different)} differ from the code: run `danbao contracts`")
    return Exit.OK
