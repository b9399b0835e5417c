"""Request accounts and keys from reporting for `danbao user` and `danbao key`, and print them."""

import getpass
import sys
from collections.abc import Iterable, Sequence
from typing import Literal
from urllib.parse import quote

from rich.table import Table

from services.cli.operations.service_requests import SHORT_PATIENCE_SECONDS
from services.cli.wide_table import print_wide
from services.demo.running.answers import Account, Accounts, ApiKey, ApiKeys, JsonObject
from services.demo.running.apis import open_apis
from shared.domain.errors import Refused
from shared.domain.times import read_instant, shown_time
from shared.runtime.command_settings import CommandSettings

AccountField = Literal["name", "role", "scope", "is_disabled", "must_change", "made_at", "last_sign_in_at"]
KeyField = Literal["key_id", "name", "role", "scope", "made_by", "ends_at", "revoked_at", "last_used_at"]


async def list_accounts(settings: CommandSettings) -> Accounts:
    """List the accounts of all persons."""
    async with open_apis(settings, SHORT_PATIENCE_SECONDS) as apis:
        accounts: Accounts = await apis.reporting.get("/v1/accounts")
    return accounts


async def list_keys(settings: CommandSettings) -> ApiKeys:
    """List the keys of all programs."""
    async with open_apis(settings, SHORT_PATIENCE_SECONDS) as apis:
        keys: ApiKeys = await apis.reporting.get("/v1/api-keys")
    return keys


async def post(settings: CommandSettings, path: str, body: object = None) -> JsonObject:
    """Send a request that changes something; return reporting's answer."""
    async with open_apis(settings, SHORT_PATIENCE_SECONDS) as apis:
        answer: JsonObject = await apis.reporting.post(path, body)
    return answer


def account_path(name: str) -> str:
    """Return the path of an account."""
    return f"/v1/accounts/{quote(name, safe='')}"


def read_password(name: str) -> str:
    """Read a password: twice from a terminal, without echo, else the first line of stdin; Refused if they differ."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass(f"new password of {name}: ")
    if getpass.getpass("once more: ") != password:
        raise Refused("the two were not the same")
    return password


def print_accounts(accounts: list[Account]) -> None:
    """Print one line for each account."""
    columns: tuple[AccountField, ...] = (
        "name", "role", "scope", "is_disabled", "must_change", "made_at", "last_sign_in_at",
    )  # fmt: skip
    _print(columns, [[account[name] for name in columns] for account in accounts])


def print_keys(keys: list[ApiKey]) -> None:
    """Print one line for each key."""
    columns: tuple[KeyField, ...] = (
        "key_id", "name", "role", "scope", "made_by", "ends_at", "revoked_at", "last_used_at",
    )  # fmt: skip
    _print(columns, [[key[name] for name in columns] for key in keys])


def _print(columns: Sequence[str], rows: Iterable[Sequence[str | int | None]]) -> None:
    table = Table(box=None)
    for name in columns:
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*(_shown(name, value) for name, value in zip(columns, row, strict=True)))
    print_wide(table)


def _shown(name: str, value: str | int | None) -> str:
    """Format a cell: a time in Asia/Shanghai, "" for none."""
    if name.endswith("_at") and isinstance(value, str):
        return shown_time(read_instant(value))
    return "" if value is None else str(value)
