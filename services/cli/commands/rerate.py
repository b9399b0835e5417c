"""`danbao rerate`: what a back-dated tariff decision, or an enrolment that was corrected, changes."""

# ruff: noqa: PLC0415 - a command imports its own work, so that --help is quick

import json
from pathlib import Path
from typing import Annotated

import typer

from shared.runtime.exits import Exit

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, by day, and nothing else.")]
State = Annotated[
    Path | None, typer.Option("--state", help="Directory of `danbao up --state`; else the environment says where.")
]


def add_commands(app: typer.Typer) -> None:
    """Give the application this command."""
    app.command()(rerate)


def rerate(
    first: Annotated[str, typer.Option("--from", help="First insured day, such as 2026-10-01.")],
    last: Annotated[str, typer.Option("--to", help="Last insured day.")],
    enterprise: Annotated[str, typer.Option(help="Only this enterprise (USCC).")] = "",
    province: Annotated[str, typer.Option(help="Only this province (two digits).")] = "",
    apply: Annotated[bool, typer.Option("--apply", help="Book the difference as adjustments.")] = False,
    state: State = None,
    as_json: Json = False,
) -> int:
    """Preview how re-rating past orders by the current scheme would change them; --apply books it.

    Correct the scheme files and restart every charging worker first. Closed months are corrected by adjustments on
    the next statement. Run again after a crash; when nothing differs, nothing is changed.
    """
    from services.cli.operations.rerating import Wish, print_rerating, rerate_days
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from
    from shared.domain.times import read_day

    wish = Wish(read_day(first), read_day(last), enterprise, province, apply)
    rerating = run_work(rerate_days(settings_from(state), wish))
    if as_json:
        print(json.dumps(rerating, ensure_ascii=False))
    else:
        print_rerating(rerating, wish)
    return Exit.OK
