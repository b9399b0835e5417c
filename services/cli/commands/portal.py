"""`danbao user`, `danbao key`, `danbao portal`: who may read the portal and its API, and its read model."""

# ruff: noqa: PLC0415 - a command imports its own work, so that --help is quick

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from shared.runtime.exits import Exit

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
State = Annotated[
    Path | None, typer.Option("--state", help="Directory of `danbao up --state`; else the environment says where.")
]


class Role(StrEnum):
    """Who reads: the roles of accounts and keys."""

    NATIONAL = "national"
    PROVINCE = "province"
    ENTERPRISE = "enterprise"
    OPERATOR = "operator"


AsRole = Annotated[Role, typer.Option(help="Who reads with it.")]
InScope = Annotated[str, typer.Option(help="What is read: a province's two digits, an enterprise's USCC; else empty.")]
Name = Annotated[str, typer.Argument(help="The account: small letters, digits and . _ @ -")]


def add_commands(app: typer.Typer) -> None:
    """Give the application these commands."""
    portal = typer.Typer(help="Rebuild the tables that the portal shows.", no_args_is_help=True, rich_markup_mode=None)
    portal.callback()(lambda: None)  # typer drops the name of a single command without a callback
    portal.command("rebuild")(rebuild)
    app.add_typer(portal, name="portal")
    user = typer.Typer(help="Accounts of people who sign in to the portal.", no_args_is_help=True)
    user.command("add")(add_user)
    user.command("list")(list_users)
    user.command("disable")(disable_user)
    user.command("password")(change_password)
    app.add_typer(user, name="user")
    key = typer.Typer(help="API keys of programs that read the portal's figures.", no_args_is_help=True)
    key.command("add")(add_key)
    key.command("list")(list_keys)
    key.command("revoke")(revoke_key)
    app.add_typer(key, name="key")


def add_user(name: Name, role: AsRole, scope: InScope = "", state: State = None) -> int:
    """Make an account. Its password is prompted for, without echo, or is the first line of standard input."""
    from services.cli.operations.portal_accounts import post, read_password
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from

    settings = settings_from(state)
    body = {"name": name, "role": role, "scope": scope or None, "password": read_password(name)}
    run_work(post(settings, "/v1/accounts", body))
    address = settings.public_url or settings.reporting_url
    print(f"{name} may sign in at {address}/sign-in, and must change the password then")
    return Exit.OK


def list_users(state: State = None, as_json: Json = False) -> int:
    """List the accounts, and when each signed in last."""
    from services.cli.operations.portal_accounts import list_accounts, print_accounts
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from

    answer = run_work(list_accounts(settings_from(state)))
    if as_json:
        print(json.dumps(answer, ensure_ascii=False))
    else:
        print_accounts(answer["accounts"])
    return Exit.OK


def disable_user(name: Name, state: State = None) -> int:
    """End an account for good, and its sessions at once."""
    from services.cli.operations.portal_accounts import account_path, post
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from

    run_work(post(settings_from(state), f"{account_path(name)}/disable"))
    print(f"{name} signs in no more")
    return Exit.OK


def change_password(name: Name, state: State = None) -> int:
    """Give an account a password that must be changed at the next sign-in, and end its sessions."""
    from services.cli.operations.portal_accounts import account_path, post, read_password
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from

    body = {"password": read_password(name)}
    run_work(post(settings_from(state), f"{account_path(name)}/password", body))
    print(f"{name} has a new password, and must change it at the next sign-in")
    return Exit.OK


def add_key(
    name: Annotated[str, typer.Argument(help="What the key is for, to know it by in lists.")],
    role: AsRole,
    scope: InScope = "",
    days: Annotated[int, typer.Option(min=1, max=366, help="How long it holds.")] = 90,
    state: State = None,
) -> int:
    """Make an API key and print it: it is shown this once."""
    from services.cli.operations.portal_accounts import post
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from

    body = {"name": name, "role": role, "scope": scope or None, "days": days}
    made = run_work(post(settings_from(state), "/v1/api-keys", body))
    print(made["key"])
    return Exit.OK


def list_keys(state: State = None, as_json: Json = False) -> int:
    """List the API keys: whose, until when, when used last."""
    from services.cli.operations.portal_accounts import list_keys, print_keys
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from

    answer = run_work(list_keys(settings_from(state)))
    if as_json:
        print(json.dumps(answer, ensure_ascii=False))
    else:
        print_keys(answer["api_keys"])
    return Exit.OK


def revoke_key(
    key_id: Annotated[int, typer.Argument(help="Its number, the first column of the list.")], state: State = None
) -> int:
    """End an API key at once."""
    from services.cli.operations.portal_accounts import post
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from

    run_work(post(settings_from(state), f"/v1/api-keys/{key_id}/revoke"))
    print(f"key {key_id} is revoked")
    return Exit.OK


def rebuild(state: State = None) -> int:
    """Rebuild what the pages read from the messages that are kept; until it is done, pages show less."""
    from services.cli.operations.rebuild_read_model import rebuild_read_model
    from services.demo.running.event_loop import run_work
    from services.demo.running.state import settings_from

    print(run_work(rebuild_read_model(settings_from(state))))
    return Exit.OK
