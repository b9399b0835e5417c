"""`python -m services.ledger`"""

import sys

from services.ledger.compose import compose
from services.ledger.settings import LedgerSettings
from shared.adapters.run_service import run_service

if __name__ == "__main__":
    sys.exit(run_service("ledger", LedgerSettings, compose))
