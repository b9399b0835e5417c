"""`danbao adjustment list | propose | consent`: reverse orders outside a signed declaration, by two persons."""

# ruff: noqa: PLC0415 - a command imports its own work, so that --help is quick

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shared.runtime.exits import Exit

if TYPE_CHECKING:
    from services.demo.running.answers import Adjustment, Adjustments

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
State = Annotated[
    Path | None, typer.Option("--state", help="Directory of `danbao up --state`; else the environment says where.")
]


def add_commands(app: typer.Typer) -> None:
    """Give the application these commands."""
    words = "Orders outside a signed declaration: one person proposes to reverse them, a second one approves."
    adjustment = typer.Typer(help=words, no_args_is_help=True)
    adjustment.command("list")(list_adjustments)
    adjustment.command("propose")(propose)
    adjustment.command("consent")(consent)
    app.add_typer(adjustment, name="adjustment")


def list_adjustments(
    enterprise: Annotated[str, typer.Option(help="Only those of this enterprise (USCC).")] = "",
    state: State = None,
    as_json: Json = False,
) -> int:
    """List proposals: which orders, why, who proposed and who consented; without consent nothing is reversed."""
    from services.cli.operations.adjustments import print_adjustments, read_adjustments
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from

    adjustments = run_work(read_adjustments(settings_from(state), enterprise))
    _print(adjustments, as_json, lambda: print_adjustments(adjustments["adjustments"]))
    return Exit.OK


def propose(
    enterprise: Annotated[str, typer.Argument(help="The enterprise (USCC).")],
    day: Annotated[str, typer.Argument(help="The insured day, such as 2026-10-01.")],
    reason: Annotated[str, typer.Option(help="Why the orders are not the enterprise's.")],
    state: State = None,
    as_json: Json = False,
) -> int:
    """Propose to reverse all orders of the day that lie outside what the enterprise signed; reverses nothing yet.

    The finding `outside_declaration` of the day names the orders. Your person's key signs the proposal.
    """
    from services.cli.operations.adjustments import print_adjustments, propose_adjustment
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from
    from shared.domain.times import read_day

    wish = {"enterprise": enterprise, "day": read_day(day).isoformat(), "reason": reason}
    adjustment = run_work(propose_adjustment(settings_from(state), wish))
    _print(adjustment, as_json, lambda: print_adjustments([adjustment]))
    return Exit.OK


def consent(
    proposal: Annotated[int, typer.Argument(min=1, help="The id of the proposal.")],
    state: State = None,
    as_json: Json = False,
) -> int:
    """Consent to what another person proposed: exactly the orders that were named are reversed, on the next statement.

    Again it changes nothing. Refused where other orders lie outside by now.
    """
    from services.cli.operations.adjustments import consent_to, print_adjustments
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from

    adjustment = run_work(consent_to(settings_from(state), proposal))
    _print(adjustment, as_json, lambda: print_adjustments([adjustment]))
    return Exit.OK


def _print(answer: "Adjustment | Adjustments", as_json: bool, as_table: Callable[[], None]) -> None:
    if as_json:
        print(json.dumps(answer, ensure_ascii=False))
    else:
        as_table()
