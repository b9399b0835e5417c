"""`python -m services.national_platform`"""

import sys

from services.national_platform.compose import compose
from shared.adapters.run_service import run_service

if __name__ == "__main__":
    sys.exit(run_service("national_platform", compose))
