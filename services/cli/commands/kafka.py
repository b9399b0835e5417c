"""`danbao kafka setup | check | rights`: topics, logins and rights of the cluster, from the one table."""

# ruff: noqa: PLC0415 - a command imports its own work, so that --help is quick

from typing import Annotated

import typer

from shared.runtime.exits import Exit


def add_commands(app: typer.Typer) -> None:
    """Give the application these commands."""
    kafka = typer.Typer(help="Topics, logins and rights of the Kafka cluster.", no_args_is_help=True)
    kafka.command("setup")(set_up)
    kafka.command("check")(check)
    kafka.command("rights")(show_rights)
    app.add_typer(kafka, name="kafka")


def set_up(
    removes: Annotated[
        bool, typer.Option("--remove", help="Take away logins and ACLs that the table does not have.")
    ] = False,
) -> int:
    """Make the topics, logins, ACLs and quotas of the table; again: change nothing.

    Status 1 while a login or an ACL is there that the table does not have; other topics are only named. It logs in
    with the setup principal.
    """
    from services.cli.cluster.setup import set_up as work
    from services.demo.running.event_loop import run_work
    from shared.runtime.command_settings import CommandSettings

    report = run_work(work(CommandSettings(), removes=removes))
    _report(report.changed, report.strange)
    return Exit.FAILED if any(not line.startswith("topic ") for line in report.strange) else Exit.OK


def check() -> int:
    """Say what differs from the table and change nothing; status 1 when anything does."""
    from services.cli.cluster.setup import check as work
    from services.demo.running.event_loop import run_work
    from shared.runtime.command_settings import CommandSettings

    report = run_work(work(CommandSettings()))
    _report(report.changed, report.strange)
    return Exit.FAILED if report.changed or report.strange else Exit.OK


def show_rights() -> int:
    """Print the table of rights as it is in docs/kafka-rights.md."""
    from services.cli.cluster.rights_page import page

    print(page(), end="")
    return Exit.OK


def _report(changed: list[str], strange: list[str]) -> None:
    for line in changed:
        print(line)
    for line in strange:
        print(f"NOT IN THE TABLE: {line}")
    if not changed and not strange:
        print("the cluster is as the table says")
