"""Which service may call which routes of which other service: the one table, applied where keys are checked.

A key belongs to one direction, written as the scope `<caller>-><callee>` in the file of access keys. It opens the
routes below at that callee and nothing anywhere else. Several keys may have one scope: that is how a key is replaced
without a gap. Charging calls nobody, so it has no key.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

ARROW: Final = "->"
EVERY_ROUTE: Final = ("* /{path}",)
"""For the command `danbao` of an operator."""
OPERATOR: Final = "operator"
CALLS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "charging": {
        "ledger": (
            "GET /v1/manifests/{run}/{number}",
            "GET /v1/days/{day}/registrations",
            "GET /v1/days/{day}/worker-days",
            "POST /v1/days/{day}/counted-before",
        ),
        "reporting": (
            "GET /v1/days/{day}/employee-exclusions",
            "GET /v1/days/{day}/findings",
            "GET /v1/days/{day}/registrations",
            "POST /v1/days/{day}/counted-before",
            "GET /v1/enterprises/{uscc}/received/{day}",
            "GET /v1/enterprises/{uscc}/series",
            "GET /v1/orders/{enterprise}/{order_id}/proof",
            "GET /v1/parked",
            "GET /v1/parked/{batch}/{leaf_index}",
            "POST /v1/trials",
            "GET /v1/workers/{worker_id}/covers",
        ),
        OPERATOR: EVERY_ROUTE,
    },
    "ledger": {
        "reporting": (
            "GET /v1/balances",
            "GET /v1/days/{day}",
            "GET /v1/log/checkpoints",
            "GET /v1/log/proofs/{run}/{number}",
            "GET /v1/payment-states",
            "GET /v1/statements/{statement_id}/evidence",
            "GET /v1/status",
        ),
        OPERATOR: EVERY_ROUTE,
    },
    "reporting": {OPERATOR: EVERY_ROUTE},
}
"""Callee, caller, routes. A route that only reads has no effect; the two POSTs are queries."""


@dataclass(frozen=True, slots=True)
class Direction:
    """One caller at one callee."""

    caller: str
    callee: str

    @property
    def scope(self) -> str:
        """The scope as the file of access keys names it."""
        return f"{self.caller}{ARROW}{self.callee}"


DIRECTIONS: Final = tuple(Direction(caller, callee) for callee, callers in CALLS.items() for caller in callers)


def callees_of(caller: str) -> tuple[str, ...]:
    """The services that this one has a key for."""
    return tuple(direction.callee for direction in DIRECTIONS if direction.caller == caller)


def is_direction(scope: str) -> bool:
    """Whether the table knows this scope."""
    return any(direction.scope == scope for direction in DIRECTIONS)


def may_call(scope: str, callee: str, method: str, path: str) -> bool:
    """Whether a key of this direction opens the route at this callee."""
    caller, _, named = scope.partition(ARROW)
    if named != callee:
        return False
    routes = CALLS.get(callee, {}).get(caller, ())
    return any(_matches(route, method, path) for route in routes)


def is_question(callee: str, method: str, path: str) -> bool:
    """Whether a service may send this query, which decides nothing, though its method may be POST."""
    callers = CALLS.get(callee, {})
    return any(_matches(route, method, path) for caller in callers if caller != OPERATOR for route in callers[caller])


def _matches(route: str, method: str, path: str) -> bool:
    allowed, pattern = _compiled(route)
    return allowed in {"*", method} and pattern.fullmatch(path) is not None


@cache
def _compiled(route: str) -> tuple[str, re.Pattern[str]]:
    if (route,) == EVERY_ROUTE:
        return "*", re.compile(r"/.*", re.DOTALL)
    method, _, template = route.partition(" ")
    parts = ("[^/]+" if part.startswith("{") else re.escape(part) for part in template.split("/"))
    return method, re.compile("/".join(parts))
