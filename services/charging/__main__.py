"""`python -m services.charging`: one worker. Start as many as there are partitions to share."""

import sys

from services.charging.compose import compose
from services.charging.settings import ChargingSettings
from shared.adapters.run_service import run_service

if __name__ == "__main__":
    sys.exit(run_service("charging", ChargingSettings, compose))
