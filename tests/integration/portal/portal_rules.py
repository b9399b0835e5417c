"""Access rules of reporting: every route, with the roles that get an answer. A route without a line fails the test.

`NOBODY_TOO` is open; `SERVICES` is for keys of the file with the scope `service` or `operator`, and for no viewer.
"""

from typing import Final

from services.reporting.access.viewers import Role

EVERYBODY: Final = frozenset(Role)
NOBODY_TOO: Final = None
SERVICES: Final[frozenset[Role]] = frozenset()
PERSONS: Final[frozenset[Role]] = frozenset()
"""Anybody signed in to an account; no key, and no worker's link."""
OFFICES: Final = EVERYBODY - {Role.WORKER}
REGULATORS: Final = OFFICES - {Role.ENTERPRISE}
OPERATOR: Final = frozenset({Role.OPERATOR})
KEY_MAKERS: Final = frozenset({Role.OPERATOR, Role.ENTERPRISE})

RULES: Final[dict[str, frozenset[Role] | None]] = {
    "GET /healthz": NOBODY_TOO,
    "GET /readyz": NOBODY_TOO,
    "GET /metrics": NOBODY_TOO,
    "GET /openapi.json": EVERYBODY,
    "GET /receipt": NOBODY_TOO,
    "GET /sign-in": NOBODY_TOO,
    "POST /sign-in": NOBODY_TOO,
    "POST /sign-out": NOBODY_TOO,
    "GET /w/{link}": NOBODY_TOO,
    "POST /w/{link}": NOBODY_TOO,
    # Pages.
    "GET /static/{name}": NOBODY_TOO,
    "GET /": EVERYBODY,
    "GET /provinces/{code}": OFFICES,
    "GET /enterprises/{uscc}": OFFICES,
    "GET /industries/{name}": OFFICES,
    "GET /days": OFFICES,
    "GET /days/{day}": OFFICES,
    "GET /days/{day}/{code}": OFFICES,
    "GET /months": OFFICES,
    "GET /months/{period}": OFFICES,
    "GET /reports/{day}/{code}": REGULATORS,
    "GET /statements": OFFICES,
    "GET /statements/{statement_id}": OFFICES,
    "GET /discrepancies": OFFICES,
    "GET /discrepancies/{discrepancy_id}": OFFICES,
    "POST /discrepancies/{discrepancy_id}/states": REGULATORS,
    "GET /evidence": OFFICES,
    "GET /looks": frozenset({Role.NATIONAL, Role.OPERATOR}),
    "GET /enterprises/{uscc}/arriving": OFFICES - {Role.PROVINCE},
    "GET /enterprises/{uscc}/parked": OFFICES - {Role.PROVINCE},
    "GET /enterprises/{uscc}/parked/{cursor}": OFFICES - {Role.PROVINCE},
    "GET /enterprises/{uscc}/parked/{cursor}/bytes": OFFICES - {Role.PROVINCE},
    "GET /enterprises/{uscc}/series": OFFICES - {Role.PROVINCE},
    "GET /enterprises/{uscc}/trial": OFFICES - {Role.PROVINCE},
    "POST /enterprises/{uscc}/trial": OFFICES - {Role.PROVINCE},
    "GET /keys": KEY_MAKERS,
    "POST /keys": KEY_MAKERS,
    "POST /keys/links": KEY_MAKERS,
    "POST /keys/{key_id}/revoke": KEY_MAKERS,
    "GET /my-receipts": frozenset({Role.WORKER}),
    "GET /my-password": PERSONS,
    "POST /my-password": PERSONS,
    # Services and the command.
    "GET /v1/status": SERVICES,
    "GET /v1/receipts": SERVICES,
    "POST /v1/payment-reports": SERVICES,
    "POST /v1/reconciliations": SERVICES,
    "POST /v1/reports/{report_id}/retry": SERVICES,
    "GET /v1/read-model": SERVICES,
    "POST /v1/read-model/rebuild": SERVICES,
    "GET /v1/set-aside": SERVICES,
    "POST /v1/set-aside/retry": SERVICES,
    # Figures, statements, reports.
    "GET /v1/overview": OFFICES,
    "GET /v1/sheets": OFFICES,
    "GET /v1/statements": OFFICES,
    "GET /v1/statements/{statement_id}": OFFICES,
    "GET /v1/balances": OFFICES,
    "GET /v1/remittances": OFFICES,
    "GET /v1/arrivals": OFFICES,
    "GET /v1/reports": OFFICES,
    "GET /v1/reports/{report_id}": OFFICES,
    "GET /v1/evidence": OFFICES,
    # The register.
    "GET /v1/discrepancies": OFFICES,
    "GET /v1/discrepancies/{discrepancy_id}": OFFICES,
    "POST /v1/discrepancies/{discrepancy_id}/states": REGULATORS,
    # Evidence.
    "GET /v1/acknowledgements/key": NOBODY_TOO,
    "GET /v1/acknowledgements/{uscc}/{day}": OFFICES - {Role.PROVINCE},
    "GET /v1/order-receipts": EVERYBODY,
    "GET /v1/statements/{statement_id}/evidence": OFFICES,
    # Accounts, keys, the access log.
    "GET /v1/accounts": OPERATOR,
    "POST /v1/accounts": OPERATOR,
    "POST /v1/accounts/{name}/disable": OPERATOR,
    "POST /v1/accounts/{name}/password": OPERATOR,
    "POST /v1/my-password": PERSONS,
    "GET /v1/api-keys": KEY_MAKERS,
    "POST /v1/api-keys": KEY_MAKERS,
    "POST /v1/api-keys/{key_id}/revoke": KEY_MAKERS,
    "POST /v1/worker-links": KEY_MAKERS,
    "GET /v1/looks": frozenset({Role.NATIONAL, Role.OPERATOR}),
}
