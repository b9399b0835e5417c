"""`danbao verify`: check a receipt, a statement or a copied log, with nothing but the reader's keys."""

# ruff: noqa: PLC0415 - a command imports its own work, so that --help is quick

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from shared.domain.errors import Refused
from shared.runtime.exits import CommandFailed, Exit

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
    from services.verify.keys import Keys
    from services.verify.receipt import Expected, verify_receipt
    from shared.domain.evidence.order_receipt import OrderReceipt

    parsed, keys = OrderReceipt.parse_text(_text_of(given)), Keys.read(key)
    return _print_proof(lambda: verify_receipt(parsed, keys, Expected(worker, order, enterprise)))


@verify.command()
def statement(
    file: Annotated[Path, typer.Argument(help="A statement with its evidence (danbao statement --evidence).")], key: Key
) -> int:
    """Recompute a statement from its evidence; 1 when a figure does not follow, naming the step."""
    from services.verify.keys import Keys
    from services.verify.statement import verify_statement

    data, keys = _bytes_of(file), Keys.read(key)
    return _print_proof(lambda: verify_statement(data, keys))


@verify.command()
def log(
    folder: Annotated[Path, typer.Argument(help="A copied log: the folder with `checkpoint` and `tile`.")],
    key: Key,
    older: Annotated[
        Path | None, typer.Option(help="A checkpoint kept from earlier: the log must have grown from it.")
    ] = None,
) -> int:
    """Check a whole copied log: entries, tiles, root, signatures; 1 when something does not hold, naming it."""
    from services.verify.keys import Keys
    from services.verify.log import verify_log

    kept, keys = None if older is None else _bytes_of(older), Keys.read(key)
    return _print_proof(lambda: verify_log(folder, keys, kept))


def _print_proof(work: Callable[[], str]) -> int:
    """Print the sentence of what was proved; raises `CommandFailed` with the step that failed."""
    from services.verify.verdict import NotProved

    try:
        print(work())
    except NotProved as error:
        raise CommandFailed(str(error)) from error
    return Exit.OK


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from error


def _text_of(given: str) -> str:
    """A link or a receipt as it is; of a file its text."""
    path = Path(given)
    try:
        return path.read_text(encoding="utf-8") if "#" not in given and path.is_file() else given
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{given}: {error}") from error
