"""`danbao verify`: check a receipt, a statement or a copied log, with nothing but the reader's keys."""

# ruff: noqa: PLC0415 - a command imports its own work, so that --help is quick

from pathlib import Path
from typing import Annotated

import typer

from services.cli.exits import CommandFailed, Exit
from shared.domain.errors import Refused

verify = typer.Typer(help="Check evidence, offline.", no_args_is_help=True, rich_markup_mode=None)
Key = Annotated[
    list[str], typer.Option("--key", help="A vkey of the log or of a witness, or a file of them; may come again.")
]


def add_commands(app: typer.Typer) -> None:
    """Give the application these commands."""
    app.add_typer(verify, name="verify")


@verify.command()
def receipt(
    given: Annotated[
        str, typer.Argument(metavar="FILE|LINK", help="An order's receipt: a file, its text or its link.")
    ],
    key: Key,
    worker: Annotated[str | None, typer.Option(help="The worker's token that it must be for.")] = None,
    order: Annotated[str | None, typer.Option(help="The order that it must be for.")] = None,
    enterprise: Annotated[str | None, typer.Option(help="The enterprise (USCC) that it must be of.")] = None,
) -> int:
    """Check an order's receipt; 1 when it does not prove what it says, naming the step."""
    from services.cli.verifying.keys import Keys
    from services.cli.verifying.receipt import Expected, verify_receipt
    from services.cli.verifying.verdict import NotProved
    from shared.domain.order_receipt import OrderReceipt

    text = _text_of(given)
    try:
        print(verify_receipt(OrderReceipt.parse_text(text), Keys.read(key), Expected(worker, order, enterprise)))
    except NotProved as error:
        raise CommandFailed(str(error)) from error
    return Exit.OK


def _text_of(given: str) -> str:
    """A link or a receipt as it is; of a file its text."""
    path = Path(given)
    try:
        return path.read_text(encoding="utf-8") if "#" not in given and path.is_file() else given
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{given}: {error}") from error
