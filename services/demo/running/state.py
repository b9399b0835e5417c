"""Read the environment of a system run by `danbao up --state DIRECTORY`, for an operator's commands."""

import os
from pathlib import Path

from services.demo.running.migrate import read_env_file
from shared.domain.errors import Refused
from shared.runtime.command_settings import CommandSettings

ENV_FILE = "danbao.env"


def settings_from(state: Path | None) -> CommandSettings:
    """Read the settings; those of a named directory override the environment's."""
    if state is not None:
        file = state / ENV_FILE
        if not file.exists():
            raise Refused(f"{file} does not exist: is `danbao up --state {state}` running?")
        os.environ.update(read_env_file(file))
    return CommandSettings()
