"""`danbao demo`, `up`, `generate`, `replay`: what runs a system or feeds one."""

# ruff: noqa: PLC0415 - a command imports its own work, so that --help is quick; options are its arguments

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shared.runtime.exits import Exit

if TYPE_CHECKING:
    from services.demo.replay.csv_orders import RegionRule
    from services.demo.summary import Summary
    from services.demo.visitors import Visitors
    from shared.domain.scheme.industry import Industry

Orders = Annotated[int, typer.Option("--orders", min=100, max=50_000_000, help="Orders accepted in the month.")]
Seed = Annotated[int, typer.Option("--seed", help="The same seed gives the same events, byte for byte.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Stay = Annotated[
    bool, typer.Option("--stay", help="Keep the services and the portal running when all is shown, until Ctrl-C.")
]
MonthName = Annotated[str, typer.Option("--month", help="The month, such as 2026-10.")]
SchemeDirs = Annotated[
    str,
    typer.Option("--scheme", help="Directories of tariffs and enrolment, colon-separated.", show_default="the demo's"),
]
State = Annotated[
    Path | None, typer.Option("--state", help="Directory of `danbao up --state`; else the environment says where.")
]
DEMO_ORDERS = 60_000


def add_commands(app: typer.Typer) -> None:
    """Give the application these commands."""
    app.command()(demo)
    app.command()(up)
    app.command()(generate)
    app.command()(replay)


def demo(orders: Orders = DEMO_ORDERS, seed: Seed = 1, as_json: Json = False, stays: Stay = False) -> int:
    """Stream a month of orders through a separate system: charge, close, bill, report, audit; then show it."""
    from services.demo.demo import DemoRequest, run_demo
    from services.demo.progress import progress_bar
    from services.demo.running.event_loop import run_work, state_directory

    def show(summary: "Summary", visitors: "Visitors") -> None:
        if as_json:
            print(json.dumps(summary.as_json(), ensure_ascii=False), flush=True)
        else:
            _show(summary, visitors, stays=stays)

    with state_directory("demo") as folder:
        summary = run_work(run_demo(DemoRequest(orders, seed, folder, stays), progress_bar("demo", None), show))
    return Exit.OK if summary.has_passed else Exit.FAILED


def _show(summary: "Summary", visitors: "Visitors", *, stays: bool) -> None:
    from rich.console import Console

    from services.demo.running.system import DEMO_SCHEME
    from services.demo.tables import print_summary, print_visitors
    from shared.adapters.files.scheme import load_scheme

    names = load_scheme([Path(part) for part in DEMO_SCHEME.split(":")]).names
    console = Console()
    console = console if console.is_terminal else Console(width=160)
    print_summary(console, summary, names)
    print_visitors(console, visitors, names, stays=stays)
    sys.stdout.flush()


def up(
    state: Annotated[
        Path | None, typer.Option("--state", help="Keep keys and logs in this directory instead of a temporary one.")
    ] = None,
    scheme: SchemeDirs = "",
) -> int:
    """Run all services, against embedded parts or DANBAO_KAFKA and DANBAO_DATABASE, until Ctrl-C."""
    from services.demo.running.up import run_up

    return run_up(state, scheme)


def generate(
    orders: Orders = DEMO_ORDERS,
    seed: Seed = 1,
    month: MonthName = "2026-10",
    out: Annotated[Path | None, typer.Option("--out", help="File to write; standard output when not given.")] = None,
    scheme: SchemeDirs = "",
) -> int:
    """Write a seeded, realistic month of order events as NDJSON: {"topic", "key", "time", "value"} a line."""
    from services.demo.generator.month import Wanted
    from services.demo.generator.month import generate as records
    from services.demo.generator.records import write_line
    from services.demo.running.system import DEMO_SCHEME
    from shared.adapters.files.scheme import load_scheme
    from shared.domain.calendar import Month

    known = load_scheme([Path(part) for part in (scheme or DEMO_SCHEME).split(":")])
    lines = (write_line(record) for record in records(known, Wanted(orders, seed, Month.parse(month))))
    if out is None:
        sys.stdout.buffer.writelines(lines)
        sys.stdout.buffer.flush()
    else:
        with out.open("wb") as stream:
            stream.writelines(lines)
    return Exit.OK


def replay(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help=".ndjson of records or events, .csv or .tsv; also .gz.")
    ],
    state: State = None,
    wait: Annotated[bool, typer.Option("--wait", help="Return when all is charged and booked, not only sent.")] = False,
    as_json: Json = False,
    industry: Annotated[str, typer.Option(help="CSV: the industry of every row.")] = "ride_hailing",
    accepted_at: Annotated[str, typer.Option(help="CSV: column of the acceptance.")] = "accepted_at",
    completed_at: Annotated[str, typer.Option(help="CSV: column of the completion; empty for none.")] = "",
    accepted_at_unit: Annotated[
        str, typer.Option(help="CSV: how both are written: 'text', or 's' or 'ms' since 1970-01-01T00:00Z.")
    ] = "text",
    enterprise: Annotated[str, typer.Option(help="CSV: COLUMN=value:USCC,value:USCC")] = "",
    region: Annotated[str, typer.Option(help="CSV: column of the place of acceptance.")] = "region",
    region_rule: Annotated[
        str, typer.Option(help="CSV: 'code' (six digits) or 'spread' (a number, over the enterprise's provinces).")
    ] = "code",
    order_id: Annotated[
        str, typer.Option(help="CSV: column of the order id, or 'row' (of a file with this content).")
    ] = "row",
    worker: Annotated[
        str,
        typer.Option(
            help="CSV: columns that make up a worker; 'hour' is the acceptance's, 'row' a worker for each row."
        ),
    ] = "row",
    shift_to: Annotated[str, typer.Option(help="CSV: month that the busiest month's dates are moved to.")] = "",
) -> int:
    """Send a file's events, with their own times, to a running system, with a progress bar."""
    import time

    from services.demo.progress import progress_bar
    from services.demo.replay.csv_orders import Mapped, parse_enterprises, read_csv
    from services.demo.replay.file_kinds import NDJSON, delimiter_of
    from services.demo.replay.ndjson import count_lines, read_ndjson
    from services.demo.replay.replay import replay as send
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from
    from shared.adapters.files.scheme import load_scheme
    from shared.domain.calendar import Month
    from shared.domain.times import parse_unit

    delimiter = delimiter_of(file)
    settings = settings_from(state)
    scheme = load_scheme(settings.scheme)
    if delimiter is not NDJSON:
        column, enterprises = parse_enterprises(enterprise)
        mapped = Mapped(
            industry=_industry(industry),
            accepted_at=accepted_at,
            completed_at=completed_at or None,
            enterprise_column=column,
            enterprises=enterprises,
            region=region,
            region_rule=_region_rule(region_rule),
            order_id=order_id,
            worker=worker.split(","),
            shift_to=Month.parse(shift_to) if shift_to else None,
            time_unit=parse_unit(accepted_at_unit),
        )
        listed = read_csv(file, mapped, scheme, delimiter)
        records, total = iter(listed), len(listed)
    else:
        records, total = read_ndjson(file), count_lines(file)
    began = time.monotonic()
    with progress_bar("sending", total) as watcher:
        sent = run_work(send(settings, scheme, records, watcher, wait))
    seconds = round(time.monotonic() - began, 1)
    print(json.dumps({"sent": sent, "seconds": seconds}) if as_json else f"{sent:,} events sent in {seconds:g} s")
    return Exit.OK


def _industry(name: str) -> "Industry":
    from shared.domain.errors import Refused
    from shared.domain.scheme.industry import Industry

    if name not in set(Industry):
        raise Refused(f"--industry is one of {', '.join(Industry)}, not {name!r}")
    return Industry(name)


def _region_rule(name: str) -> "RegionRule":
    from shared.domain.errors import Refused

    if name not in {"code", "spread"}:
        raise Refused(f"--region-rule is 'code' or 'spread', not {name!r}")
    return "code" if name == "code" else "spread"
