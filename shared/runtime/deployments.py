"""Charging's deployments (部署) from a file: their names, where they answer, and whose orders each of them charges.

The file is TOML: `[[deployment]]` tables with `name`, `url` and `enterprises`, a list of USCCs. Exactly one has no
list: it charges all enterprises that no other one names. So every topic, also of a new enterprise, has a deployment.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from shared.contracts.manifests import ALONE
from shared.contracts.topics import ORDERS_PATTERN, ORDERS_PREFIX
from shared.domain.errors import Refused
from shared.domain.scheme.enterprise import USCC_FORM
from shared.runtime.settings import Settings

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,30}\Z")
_USCC: Final = re.compile(USCC_FORM + r"\Z")


@dataclass(frozen=True, slots=True)
class Deployment:
    """One of them; `enterprises` None: all whom no other one names."""

    name: str
    url: str
    enterprises: frozenset[str] | None = None


class Deployments:
    """All of them; raises `Refused` where an enterprise would have none or two."""

    def __init__(self, all_: Iterable[Deployment]) -> None:
        listed = list(all_)
        self._all = {deployment.name: deployment for deployment in listed}
        self._of = {uscc: deployment for deployment in listed for uscc in deployment.enterprises or ()}
        named = sum(len(deployment.enterprises or ()) for deployment in listed)
        rest = [deployment for deployment in listed if deployment.enterprises is None]
        if len(self._all) < len(listed) or len(self._of) < named or len(rest) != 1:
            raise Refused("deployments: each name and enterprise may occur once, and exactly one has no list")
        self._rest = rest[0]

    def __iter__(self) -> Iterator[Deployment]:
        return iter(self._all.values())

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._all)

    def of(self, uscc: str) -> Deployment:
        """Who charges this enterprise's orders."""
        return self._of.get(uscc, self._rest)

    def topics_pattern(self, name: str) -> str:
        """Regular expression of the order topics that a deployment reads; raises `Refused` for an unknown name."""
        if name not in self._all:
            raise Refused(f"DANBAO_DEPLOYMENT is {name!r}, and the deployments are {', '.join(sorted(self._all))}")
        own = self._all[name].enterprises
        listed = "|".join(sorted(self._of if own is None else own))
        if own is not None:
            return f"^{re.escape(ORDERS_PREFIX)}(?:{listed})$"
        return ORDERS_PATTERN if not listed else ORDERS_PATTERN.replace("[", f"(?!(?:{listed})$)[", 1)


def load_deployments(settings: Settings) -> Deployments:
    """Those of DANBAO_DEPLOYMENTS, else the one at DANBAO_CHARGING_URL; raises `Refused` naming a bad file."""
    if settings.deployments is None:
        return Deployments([Deployment(ALONE, settings.charging_url)])
    try:
        tables = tomllib.loads(settings.deployments.read_text(encoding="utf-8"))["deployment"]
        return Deployments([_read(table) for table in tables])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, LookupError, TypeError, AttributeError) as error:
        raise Refused(f"{settings.deployments}: {error!r}") from error
    except Refused as error:
        raise Refused(f"{settings.deployments}: {error}") from error


def _read(table: dict[str, Any]) -> Deployment:
    name, url, listed = table["name"], table["url"], table.get("enterprises")
    if not _NAME.match(name) or not url.startswith(("http://", "https://")):
        raise Refused(f"deployment {name!r} at {url!r}: a name of a-z, 0-9 and -, and a URL")
    if listed is not None and (not listed or not all(_USCC.match(uscc) for uscc in listed)):
        raise Refused(f"deployment {name}: enterprises is a list of USCCs that is not empty, or is left out")
    return Deployment(name, url, None if listed is None else frozenset(listed))
