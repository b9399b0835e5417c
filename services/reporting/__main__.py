"""`python -m services.reporting`"""

import sys

from services.reporting.compose import compose
from shared.runtime.service import Service
from shared.runtime.settings import Settings

if __name__ == "__main__":
    sys.exit(Service("reporting", Settings(), compose).run())
