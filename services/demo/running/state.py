"""Read the environment of a system run by `danbao up --state DIRECTORY`, for an operator's commands."""

import os
from pathlib import Path

from services.demo.running.migrate import read_env_file
from shared.domain.errors import Refused
from shared.runtime.command_settings import CommandSettings
from shared.runtime.secret_file import ENDINGS, find_secret

ENV_FILE = "danbao.env"


def settings_from(state: Path | None) -> CommandSettings:
    """Read the settings; those of a named directory override the environment's."""
    if state is not None:
        file = state / ENV_FILE
        if not file.exists():
            raise Refused(f"{file} does not exist: is `danbao up --state {state}` running?")
        theirs = read_env_file(file)
        for name in {name.removesuffix("_FILE") for name in theirs}:
            for ending in ("", *ENDINGS):
                os.environ.pop(name + ending, None)
        os.environ.update(theirs)
    return CommandSettings()


def require_database(settings: CommandSettings, *instead: str) -> None:
    """Raise Refused where neither DANBAO_DATABASE nor one of these variables names a database.

    The default of a service, a server on this machine, would only be waited for.
    """
    if "database" not in settings.model_fields_set and not any(map(find_secret, instead)):
        variables = " or ".join((*instead, "DANBAO_DATABASE"))
        raise Refused(f"no database: name the directory with --state, or set {variables}")
