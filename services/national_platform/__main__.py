"""`python -m services.national_platform`"""

import sys

from services.national_platform.compose import compose
from shared.runtime.service import Service
from shared.runtime.settings import Settings

if __name__ == "__main__":
    sys.exit(Service("national_platform", Settings(), compose).run())
