"""The environment of a system that `danbao up --state DIRECTORY` runs, for the commands of an operator."""

import os
from pathlib import Path

from services.demo.running.migrate import read_env_file
from shared.domain.errors import Refused
from shared.runtime.command_settings import CommandSettings

ENV_FILE = "danbao.env"


def settings_from(state: Path | None) -> CommandSettings:
    """The settings; those of the directory, where one is named, go over the environment's."""
    if state is not None:
        file = state / ENV_FILE
        if not file.exists():
            raise Refused(f"{file} does not exist: is `danbao up --state {state}` running?")
        os.environ.update(read_env_file(file))
    return CommandSettings()
