"""`danbao status`, `close-day`, `bill`, `statement`, `audit`, `migrate`, `token`: what an operator does."""

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
AsOf = Annotated[str, typer.Option("--as-of", help="The instant it is done as of, RFC 3339; now when not given.")]


def add_commands(app: typer.Typer) -> None:
    """Give the application these commands."""
    app.command()(status)
    app.command("close-day")(close_day)
    app.command()(bill)
    app.command()(statement)
    app.command()(receipt)
    app.command()(audit)
    app.command()(migrate)
    app.command()(token)
    app.command()(acknowledgement)
    app.command()(decisions)


def status(state: State = None, as_json: Json = False) -> int:
    """Show how far each service is; exits with 69 when one does not answer."""
    from services.cli.operations.service_requests import print_status, read_status
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from

    states = run_work(read_status(settings_from(state)))
    if as_json:
        print(json.dumps(states, ensure_ascii=False))
    else:
        print_status(states)
    return Exit.OK if all("error" not in answer for answer in states.values()) else Exit.UNAVAILABLE


def close_day(
    day: Annotated[str, typer.Argument(help="The oldest open day, such as 2026-10-01.")],
    as_of: AsOf = "",
    state: State = None,
) -> int:
    """Close a day: freeze its cut, request the count, and wait until the day's books are closed."""
    from services.cli.operations.service_requests import close, parse_instant
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from
    from shared.domain.times import read_day

    print(run_work(close(settings_from(state), read_day(day), parse_instant(as_of))))
    return Exit.OK


def bill(
    period: Annotated[str, typer.Argument(help="The month, such as 2026-10; all its days must be closed.")],
    as_of: AsOf = "",
    state: State = None,
) -> int:
    """Issue the statements of a month; a second time changes nothing."""
    from services.cli.operations.service_requests import bill as issue
    from services.cli.operations.service_requests import parse_instant
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from
    from shared.domain.calendar import Month

    print(run_work(issue(settings_from(state), Month.parse(period), parse_instant(as_of))))
    return Exit.OK


def statement(
    period: Annotated[str, typer.Argument(help="The month, such as 2026-10.")],
    enterprise: Annotated[str, typer.Option(help="Only this enterprise (USCC).")] = "",
    province: Annotated[str, typer.Option(help="Only this province (two digits).")] = "",
    evidence: Annotated[
        Path | None, typer.Option(help="Folder for a file each that `danbao verify statement` proves.")
    ] = None,
    state: State = None,
    as_json: Json = False,
) -> int:
    """Show the statements of a month, with their lines."""
    from services.cli.operations.service_requests import print_statements, read_statements, write_evidence
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from
    from shared.domain.calendar import Month

    answer = run_work(read_statements(settings_from(state), Month.parse(period), enterprise, province))
    if evidence is not None:
        run_work(
            write_evidence(
                settings_from(state), [statement["statement_id"] for statement in answer["statements"]], evidence
            )
        )
    if as_json:
        print(json.dumps(answer, ensure_ascii=False))
    else:
        print_statements(answer["statements"])
    return Exit.OK


def receipt(
    enterprise: Annotated[str, typer.Option(help="The enterprise (USCC) of the order.")] = "",
    order: Annotated[str, typer.Option(help="The order's number at that enterprise.")] = "",
    worker: Annotated[str, typer.Option(help="Instead: a worker's token, with --at.")] = "",
    at: Annotated[str, typer.Option(help="The instant at which the worker's orders were open, RFC 3339.")] = "",
    qr: Annotated[bool, typer.Option("--qr", help="Draw each receipt as a QR code.")] = False,
    link: Annotated[bool, typer.Option("--link", help="Instead: a link with which the worker sees them.")] = False,
    days: Annotated[int, typer.Option(min=1, max=31, help="How long the link holds.")] = 7,
    state: State = None,
    as_json: Json = False,
) -> int:
    """Make receipts (参保凭证): of an order, or of every order that a worker had open at an instant."""
    from services.cli.operations.portal_accounts import post
    from services.cli.operations.service_requests import print_receipts, read_receipts
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from

    if link:
        body = {"worker_id": worker, "enterprise": enterprise or None, "days": days}
        made = run_work(post(settings_from(state), "/v1/worker-links", body))
        print(json.dumps(made) if as_json else made["link"])
        return Exit.OK
    wish = {"enterprise": enterprise, "order_id": order, "worker": worker, "at": at}
    answer = run_work(read_receipts(settings_from(state), wish))
    if as_json:
        print(json.dumps(answer, ensure_ascii=False))
    else:
        print_receipts(answer["orders"], has_qr=qr)
    return Exit.OK


def audit(state: State = None, as_json: Json = False) -> int:
    """Recompute everything from the rows, trusting no total; exits with 1 and names the row where something differs."""
    from services.audit.run import audit_all, sources_from
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import require_database, settings_from

    settings = settings_from(state)
    require_database(settings, "DANBAO_AUDIT_DATABASE")
    verdict = run_work(audit_all(sources_from(settings)))
    print(json.dumps(verdict.as_json(), ensure_ascii=False) if as_json else "\n".join(verdict.lines()))
    return Exit.OK if verdict.has_passed else Exit.FAILED


def migrate(
    passwords: Annotated[
        Path | None,
        typer.Option(help="Folder of the roles' passwords, a file each; what is missing is made.", show_default=False),
    ] = None,
) -> int:
    """As administrator, make every schema and each login (passwords: files in DANBAO_ROLE_PASSWORDS, or new)."""
    from services.demo.running.event_loop import run_work
    from services.demo.running.migrate import migrate_all, read_passwords
    from services.demo.running.state import require_database, settings_from

    settings = settings_from(None)
    require_database(settings)
    folder = passwords or settings.role_passwords or Path("var/roles")
    known, new = read_passwords(folder)
    run_work(migrate_all(settings, known))
    if new:
        print(f"new passwords of {', '.join(new)} are in {folder}")
    print("every schema is at its newest version")
    return Exit.OK


def token(
    key_file: Annotated[
        Path | None, typer.Option("--key-file", help="File of the scheme key; else DANBAO_SCHEME_KEY holds it.")
    ] = None,
) -> int:
    """Compute workers' tokens. Standard input: a line each, TYPE NUMBER; a terminal is prompted, without echo."""
    from services.cli.operations.worker_tokens import read_documents, read_scheme_key
    from shared.domain.scheme.worker import worker_token

    key = read_scheme_key(key_file)
    for id_type, number in read_documents(sys.stdin):
        print(worker_token(key, id_type, number))
    return Exit.OK


def acknowledgement(
    enterprise: Annotated[str, typer.Argument(help="The enterprise, by its USCC.")],
    day: Annotated[str, typer.Argument(help="A closed day, such as 2026-10-01.")],
    state: State = None,
) -> int:
    """Print the signed acknowledgement of what was received from an enterprise for a day: a note for it to keep."""
    from services.cli.operations.service_requests import read_acknowledgement
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from
    from shared.domain.times import read_day

    sys.stdout.write(run_work(read_acknowledgement(settings_from(state), enterprise, read_day(day))))
    return Exit.OK


def decisions(
    service: Annotated[str, typer.Argument(help="charging or ledger.")],
    after: Annotated[int, typer.Option(min=0, help="Go on behind this number (first column).")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many; all where it is not given.")] = None,
    state: State = None,
    as_json: Json = False,
) -> int:
    """List who decided what: closes, bills, re-ratings, resumptions, reviews, with the account that signed each."""
    from services.cli.operations.decisions import print_decisions, read_decisions
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from

    page = run_work(read_decisions(settings_from(state), service, after, limit))
    if as_json:
        print(json.dumps(page, ensure_ascii=False))
    else:
        print_decisions(page["decisions"])
        if page["next"] is not None:
            print(f"there are more: --after {page['next']}", file=sys.stderr)
    return Exit.OK
