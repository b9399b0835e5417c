"""The command `danbao`. `shared/runtime/exits.py` lists what its exit status says."""

import os
import sys
import traceback
from typing import Final

import typer

from deploy.embedded.children import EmbeddedError
from services.cli.commands import (
    adjustment,
    archive,
    authors,
    demo,
    evidence,
    kafka,
    operator,
    parked,
    portal,
    rerate,
    topics,
    verify,
)
from shared.domain.errors import DanbaoError
from shared.runtime.exits import CommandFailed, Exit

app: Final = typer.Typer(
    name="danbao",
    help="Every order insured: order events in, a billed and reported month out.",
    epilog="Exit status: 0 done, 1 the command failed, 2 wrong use or bad input, 69 a service does not answer,"
    " 70 our own error, 130 and 143 stopped by a signal.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
for part in (
    demo, operator, archive, rerate, adjustment, parked, evidence, authors, portal, topics, kafka, verify,
):  # fmt: skip
    part.add_commands(app)


def main() -> int:
    """Run the command line and return the exit status; an error is one line on standard error."""
    try:
        status = int(app(prog_name="danbao", standalone_mode=False) or Exit.OK)
        return _print_error("stopped", Exit.INTERRUPTED) if status == Exit.INTERRUPTED else status
    except BrokenPipeError:
        # Who read our output has gone; Python must not complain about it once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except typer.TyperException as error:
        return _explain_use(error)
    except (KeyboardInterrupt, typer.Abort):
        return _print_error("stopped", Exit.INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the outermost frame: each becomes a line and a status
        return _print_error(*_explain(error))


def _explain(error: Exception) -> tuple[str, Exit]:
    """The line and the exit status for an error."""
    match error:
        case CommandFailed():
            return str(error), error.status
        case DanbaoError():
            return str(error), Exit.USAGE
        case EmbeddedError() | OSError():
            return f"{type(error).__name__}: {error}", Exit.UNAVAILABLE
        case _:
            pass
    if os.environ.get("DANBAO_TRACEBACK"):
        traceback.print_exception(error)
    return f"{type(error).__name__}: {error} (DANBAO_TRACEBACK=1 shows where)", Exit.SOFTWARE


def _explain_use(error: typer.TyperException) -> int:
    """Print what is wrong with the arguments, or the help where there are none."""
    words = str(error.format_message() if hasattr(error, "format_message") else error)
    if words.startswith("Usage: "):
        print(words)
        return Exit.USAGE
    context = getattr(error, "ctx", None)
    return _print_error(f"{words} See: {context.command_path} --help" if context is not None else words, Exit.USAGE)


def _print_error(line: str, status: Exit) -> int:
    print("danbao: " + " ".join(line.split()), file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
