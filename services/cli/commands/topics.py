"""`danbao topics losses | move-on`: a topic that is paused since its log does not fit what was charged of it."""

# ruff: noqa: PLC0415 - a command imports its own work, so that --help is quick

from pathlib import Path
from typing import Annotated

import typer

from shared.runtime.exits import Exit

State = Annotated[
    Path | None, typer.Option("--state", help="Directory of `danbao up --state`; else the environment says where.")
]
Topic = Annotated[str, typer.Argument(help="The topic, such as orders.v1.91000000FAKE00001F.")]


def add_commands(app: typer.Typer) -> None:
    """Give the application these commands."""
    topics = typer.Typer(help="Topics whose log no longer matches the offsets charged.", no_args_is_help=True)
    topics.command("losses")(show_losses)
    topics.command("move-on")(move_on)
    app.add_typer(topics, name="topics")


def show_losses(topic: Topic, state: State = None) -> int:
    """Show what is missing, partition by partition, from where to where."""
    from services.cli.operations.skip_lost_events import read_losses, words
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from

    print(words(run_work(read_losses(settings_from(state), topic))))
    return Exit.OK


def move_on(
    topic: Topic,
    why: Annotated[str, typer.Option(help="Why: kept with the decision, for ever.")] = "",
    is_agreed: Annotated[bool, typer.Option("--yes", help="Do it. Without it, only what is missing is shown.")] = False,
    state: State = None,
) -> int:
    """Read a topic on from where its log begins now: what is missing is given up until it is sent again."""
    from services.cli.operations.skip_lost_events import decide, read_losses, words
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from
    from shared.domain.errors import Refused

    settings = settings_from(state)
    losses = run_work(read_losses(settings, topic))
    print(words(losses))
    if not losses or not is_agreed:
        return Exit.OK
    if not why:
        raise Refused("--why is needed with --yes: it is kept with the decision")
    print(run_work(decide(settings, topic, losses, why)))
    return Exit.OK
