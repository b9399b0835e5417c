"""`danbao log export` and `danbao log key`: the evidence log for those who copy it, and the keys that sign it."""

# ruff: noqa: PLC0415 - a command imports its own work, so that --help is quick

import json
from pathlib import Path
from typing import Annotated

import typer

from services.cli.commands.operator import Json, State
from shared.runtime.exits import Exit


def add_commands(app: typer.Typer) -> None:
    """Give the application these commands."""
    log = typer.Typer(help="The evidence log: copy it, make keys for it.", no_args_is_help=True, rich_markup_mode=None)
    log.command("export")(export)
    log.command("key")(key)
    app.add_typer(log, name="log")


def export(
    folder: Annotated[Path, typer.Argument(help="Where to; what is there already is not fetched again.")],
    url: Annotated[str, typer.Option(help="The log's prefix; that of our ledger when not given.")] = "",
    vkeys: Annotated[Path | None, typer.Option(help="File of vkeys with charging's keys; DANBAO_VKEYS else.")] = None,
    state: State = None,
    as_json: Json = False,
) -> int:
    """Copy the log as plain files (C2SP tlog-tiles), the checkpoint last; no password or access key is needed."""
    from services.cli.operations.export_log import Exported, export_log
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from
    from shared.adapters.crypto.signing import is_signed
    from shared.adapters.files.vkeys import read_authors
    from shared.adapters.http.clients import make_client
    from shared.domain.evidence.authors import Authors

    settings = settings_from(state)
    prefix, known = url.rstrip("/") or f"{settings.ledger_url}/log", vkeys or settings.vkeys
    authors = None if known is None else Authors(read_authors(known), is_signed)

    async def copy() -> Exported:
        async with make_client(settings, prefix, 30.0) as client:
            return await export_log(client, folder, authors)

    exported = run_work(copy())
    if as_json:
        print(json.dumps({"size": exported.size, "files": exported.files, "authors": exported.authors}))
    else:
        print(f"{folder}: a log of {exported.size:,} entries, {exported.files:,} new files. {exported.authors}")
    return Exit.OK


def key(
    file: Annotated[Path, typer.Argument(help="The private key (PEM); made, for its owner only, if it is not there.")],
    name: Annotated[str, typer.Option(help="Name to sign under; DANBAO_LOG_ORIGIN or DANBAO_WITNESS_NAME else.")] = "",
    is_witness: Annotated[bool, typer.Option("--witness", help="A key that cosigns, not one of a log.")] = False,
) -> int:
    """Print the verifier key (vkey) of a private key, for the file of DANBAO_VKEYS."""
    from shared.adapters.crypto.signing import make_note_key
    from shared.domain.evidence.signed_note import COSIGNATURE, ED25519
    from shared.runtime.command_settings import CommandSettings

    settings = CommandSettings()
    kind, usual = (COSIGNATURE, settings.witness_name) if is_witness else (ED25519, settings.log_origin)
    print(make_note_key(file, name or usual, kind))
    return Exit.OK
