"""`danbao bench` and `danbao contracts`: what a developer runs."""

# ruff: noqa: PLC0415 - a command imports its own work, so that --help is quick

import json
from typing import Annotated

import typer

from services.cli.exits import CommandFailed, Exit

bench = typer.Typer(help="Measure.", no_args_is_help=True, rich_markup_mode=None)


def add_commands(app: typer.Typer) -> None:
    """Give the application these commands."""
    app.add_typer(bench, name="bench")
    app.command()(contracts)


@bench.callback()
def measure() -> None:
    """Measure on the embedded parts, beside the limit of the same machine."""


@bench.command()
def charging(
    orders: Annotated[int, typer.Option(min=10_000, help="Orders charged; 0.4 kB of memory each.")] = 400_000,
    workers: Annotated[int, typer.Option(min=1, max=4, help="Charging workers, each a process.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> int:
    """Orders a second through charging, beside raw COPY of the same rows into the same table and key."""
    try:
        from benchmarks import charging as benchmark
    except ImportError as error:
        raise CommandFailed("the benchmarks are part of a checkout, not of an installed package") from error
    found = benchmark.run(orders=orders, workers=workers)
    print(json.dumps(found) if as_json else "\n".join(f"{name:28} {value:>12,}" for name, value in found.items()))
    return Exit.OK


@bench.command("log")
def evidence_log(
    entries: Annotated[int, typer.Option(min=100_000, help="Entries of the log; 0.5 kB on disk each.")] = 1_000_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> int:
    """The evidence log: bytes a manifest, what a checkpoint costs, how long a proof takes."""
    try:
        from benchmarks import log as benchmark
    except ImportError as error:
        raise CommandFailed("the benchmarks are part of a checkout, not of an installed package") from error
    found = benchmark.run(entries=entries)
    print(json.dumps(found) if as_json else "\n".join(f"{name:28} {value:>12,}" for name, value in found.items()))
    return Exit.OK


def contracts(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; 1 when a document differs.")] = False,
) -> int:
    """Write JSON Schemas and the AsyncAPI document of what crosses a wire to docs/contracts, from the code."""
    from services.cli.contracts import outdated, write_documents

    if not check:
        print(f"{write_documents()} documents are up to date")
        return Exit.OK
    if different := outdated():
        raise CommandFailed(f"{', '.join(different)} differ from the code: run `danbao contracts`")
    return Exit.OK
