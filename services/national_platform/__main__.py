"""`python -m services.national_platform`"""

import sys

from services.national_platform.compose import compose
from services.national_platform.settings import PlatformSettings
from shared.adapters.run_service import run_service

if __name__ == "__main__":
    sys.exit(run_service("national_platform", PlatformSettings, compose))
