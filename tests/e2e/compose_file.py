"""Reads docker-compose.yml as docker would, and gives what each service is started with outside of a container."""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from deploy import new_env
from tests.tidy.source import ROOT

REFERENCE: Final = re.compile(r"\$(?:\$|\{(?P<name>[A-Z0-9_]+)(?:(?P<how>:-|:\?)(?P<rest>[^}]*))?\})")
KEYS: Final = "/keys/"
SECRETS: Final = "/run/secrets"


def fill_env(folder: Path) -> dict[str, str]:
    """What `make env` writes into `.env`, in another folder; it has the secrets' files, too."""
    (folder / ".env.example").write_text((ROOT / ".env.example").read_text())
    assert new_env.main(folder) == 0
    lines = (folder / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def read_services(given: Mapping[str, str]) -> dict[str, Any]:
    """The file's services with every reference to a variable filled in."""
    services: dict[str, Any] = _filled(yaml.safe_load((ROOT / "docker-compose.yml").read_text()), given)["services"]
    return services


def _filled(node: Any, given: Mapping[str, str]) -> Any:
    match node:
        case dict():
            return {key: _filled(value, given) for key, value in node.items()}
        case list():
            return [_filled(value, given) for value in node]
        case str():
            return REFERENCE.sub(lambda found: _value(found, given), node)
        case _:
            return node


def _value(found: re.Match[str], given: Mapping[str, str]) -> str:
    name = found["name"]
    if name is None:
        return "$"
    if found["how"] == ":-":
        return given.get(name) or found["rest"]
    assert given.get(name), f"{found[0]} is not in .env"
    return given[name]


def in_order(services: Mapping[str, Any], names: set[str]) -> Iterator[str]:
    """These services, each behind those it depends on."""
    done: list[str] = []
    while left := sorted(names.difference(done)):
        name = next(service for service in left if names & services[service].get("depends_on", {}).keys() <= set(done))
        done.append(name)
        yield name


@dataclass(frozen=True, slots=True)
class Outside:
    """How a container's command and environment are said outside of one.

    `hosts` maps `name:port` inside to the same outside, `keys` is the folder used for the key volumes, `secrets` has
    the secrets' files.
    """

    services: Mapping[str, Any]
    hosts: Mapping[str, str]
    keys: Path
    secrets: Path
    extra: Mapping[str, str | None] = field(default_factory=dict)
    """Variables that are otherwise; those that are None are not set."""

    def environment(self, name: str) -> dict[str, str]:
        """All that the process sees; a path under /keys or a secret that the service does not mount fails the test."""
        service = self.services[name]
        mounted = {volume.split(":")[1] for volume in service.get("volumes", [])}
        mounted |= {f"{SECRETS}/{secret}" for secret in service.get("secrets", [])}
        theirs = service.get("environment", {}).items()
        values = {key: self._translated(str(value), mounted) for key, value in theirs if value is not None}
        if "DANBAO_PORT" in values:
            values |= {"DANBAO_HOST": "127.0.0.1", "DANBAO_PORT": self._port(name, values["DANBAO_PORT"])}
        path = os.environ.get("PATH", os.defpath)
        own = {"PATH": path, "PYTHONPATH": str(ROOT), "DANBAO_KEYS": str(self.keys)}
        return {name: value for name, value in {**own, **values, **self.extra}.items() if value is not None}

    def command(self, words: list[str]) -> list[str]:
        """The image's two programs are the checkout's."""
        programs = {"python": [sys.executable], "danbao": [sys.executable, "-m", "services.cli"]}
        return [*programs[words[0]], *words[1:]]

    def _translated(self, value: str, mounted: set[str]) -> str:
        if value.startswith(KEYS):
            assert mounted & {value, str(Path(value).parent)}, f"{value} lies in no volume of the service"
            return value.replace(KEYS, f"{self.keys}/")
        if value.startswith(f"{SECRETS}/"):
            assert value in mounted, f"{value} is no secret of the service"
        if value.startswith(SECRETS):
            return value.replace(SECRETS, str(self.secrets))
        for inside, outside in self.hosts.items():
            value = re.sub(rf"(?<![\w-]){re.escape(inside)}\b", outside, value)
        return value.replace("/app/", f"{ROOT}/")

    def _port(self, name: str, inside: str) -> str:
        return self.hosts[f"{name}:{inside}"].rpartition(":")[2]
