"""`danbao portal rebuild`: the read model behind the portal's pages, made anew from what was told."""

# ruff: noqa: PLC0415 - a command imports its own work, so that --help is quick

import typer

from services.cli.commands.operator import State
from shared.runtime.exits import Exit


def add_commands(app: typer.Typer) -> None:
    """Give the application these commands."""
    portal = typer.Typer(help="The portal that people see.", no_args_is_help=True, rich_markup_mode=None)
    portal.callback()(lambda: None)  # one command only: without this its name would not be asked for
    portal.command("rebuild")(rebuild)
    app.add_typer(portal, name="portal")


def rebuild(state: State = None) -> int:
    """Empty what the pages read and make it anew from the messages that are kept; until then pages show less."""
    from services.cli.operations.rebuild_read_model import rebuild_read_model
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from

    print(run_work(rebuild_read_model(settings_from(state))))
    return Exit.OK
