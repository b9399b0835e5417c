"""`python -m services.reporting`"""

import sys

from services.reporting.compose import compose
from services.reporting.settings import ReportingSettings
from shared.adapters.run_service import run_service

if __name__ == "__main__":
    sys.exit(run_service("reporting", ReportingSettings, compose))
