"""`danbao parked list | show | resend | resume`: events that could not be taken, and what to do about them."""

# ruff: noqa: PLC0415 - a command imports its own work, so that --help is quick

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from shared.runtime.exits import Exit

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
State = Annotated[
    Path | None, typer.Option("--state", help="Directory of `danbao up --state`; else the environment says where.")
]
Reason = Annotated[str, typer.Option(help="Only those parked for this reason, such as no_tariff_line.")]
OneEnterprise = Annotated[str, typer.Option(help="Only those on the topic of this enterprise (USCC).")]


def add_commands(app: typer.Typer) -> None:
    """Give the application these commands."""
    words = "Events that could not be taken: list, show, send again; resume a topic that had too many."
    parked = typer.Typer(help=words, no_args_is_help=True)
    parked.command("list")(list_parked)
    parked.command("show")(show_parked)
    parked.command("resend")(resend_parked)
    parked.command("resume")(resume_topic)
    app.add_typer(parked, name="parked")


def list_parked(
    reason: Reason = "",
    enterprise: OneEnterprise = "",
    after: Annotated[str, typer.Option(help="Go on behind this one (first column).")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many; all where it is not given.")] = None,
    state: State = None,
    as_json: Json = False,
) -> int:
    """List parked events: their positions, why they are parked, whether they were sent again."""
    from services.cli.operations.parked_events import print_parked, read_parked
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from

    page = run_work(read_parked(settings_from(state), reason, enterprise, after, limit))
    if as_json:
        print(json.dumps(page, ensure_ascii=False))
    else:
        print_parked(page["parked"])
        if page["next"] is not None:
            print(f"there are more: --after {page['next']}", file=sys.stderr)
    return Exit.OK


def show_parked(
    cursor: Annotated[str, typer.Argument(help="The first column of the list, such as 4294967297.12.")],
    state: State = None,
) -> int:
    """Show one parked event: reason, headers, and its bytes as text (bytes that are not text as escapes)."""
    from services.cli.operations.parked_events import print_event, read_event
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from

    print_event(run_work(read_event(settings_from(state), cursor)))
    return Exit.OK


def resend_parked(
    reason: Annotated[str, typer.Option(help="The reason that was mended, such as no_tariff_line.")],
    enterprise: OneEnterprise = "",
    state: State = None,
) -> int:
    """Send parked events to their topics again, with their own record time, after a mend."""
    from services.cli.operations.parked_events import resend
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from

    print(run_work(resend(settings_from(state), reason, enterprise)))
    return Exit.OK


def resume_topic(
    topic: Annotated[str, typer.Argument(help="The topic, such as orders.v1.91000000FAKE00001F.")],
    state: State = None,
) -> int:
    """Read a topic again that was paused because too much of it was parked; after a mend, or it is paused again."""
    from services.cli.operations.parked_events import resume
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from

    print(run_work(resume(settings_from(state), topic)))
    return Exit.OK
