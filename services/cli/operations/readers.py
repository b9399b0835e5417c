"""What `danbao user` and `danbao key` ask of reporting, and how they show it."""

import getpass
import sys
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.table import Table

from services.cli.operations.operating import SHORT_PATIENCE_SECONDS
from services.demo.running.apis import open_apis
from shared.domain.errors import Refused
from shared.runtime.command_settings import CommandSettings


async def get(settings: CommandSettings, path: str) -> Any:
    """Reporting's answer."""
    async with open_apis(settings, SHORT_PATIENCE_SECONDS) as apis:
        return await apis.reporting.get(path)


async def post(settings: CommandSettings, path: str, body: object = None) -> Any:
    """The same of a POST."""
    async with open_apis(settings, SHORT_PATIENCE_SECONDS) as apis:
        return await apis.reporting.post(path, body)


def account_path(name: str) -> str:
    """Where an account is."""
    return f"/v1/accounts/{quote(name, safe='')}"


def read_password(name: str) -> str:
    """From a terminal twice, without echo; else the first line of standard input. Raises Refused where they differ."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass(f"new password of {name}: ")
    if getpass.getpass("once more: ") != password:
        raise Refused("the two were not the same")
    return password


def print_accounts(accounts: list[dict[str, Any]]) -> None:
    """A line each."""
    _print(accounts, "name", "role", "scope", "is_disabled", "must_change", "made_at", "last_sign_in_at")


def print_keys(keys: list[dict[str, Any]]) -> None:
    """A line each."""
    _print(keys, "key_id", "name", "role", "scope", "made_by", "ends_at", "revoked_at", "last_used_at")


def _print(rows: list[dict[str, Any]], *columns: str) -> None:
    table = Table(box=None)
    for name in columns:
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*("" if row[name] is None else str(row[name]) for name in columns))
    console = Console(soft_wrap=True)
    (console if console.is_terminal else Console(width=240)).print(table)
