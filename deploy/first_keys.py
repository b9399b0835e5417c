"""Make what a deployment needs once: the key that signs reports, and the files of who may read.

`python -m deploy.first_keys`, run by the compose file before the services. What exists is left as it is, so that it
can be run again; to add a reader, edit the file in the volume (the form is in `shared/runtime/access.py`).
"""

import os
from pathlib import Path

from shared.adapters.signing import make_key_pair
from shared.runtime.access import sha256_hex

KEYS = "/keys"
"""Where the compose file mounts a volume for each of the three folders; DANBAO_KEYS names another place."""


def main(keys: Path, operator_key: str) -> None:
    """Write the missing ones; the operator's key itself is kept nowhere, only its hash.

    `private` is for reporting alone, `readers` for our services, `public` for the national platform.
    """
    make_key_pair(keys / "private" / "signing.pem", keys / "public" / "signing.pub.pem")
    write_readers(keys / "readers" / "access.toml", operator_key, "operator")
    write_readers(keys / "public" / "platform-access.toml", operator_key, "national")


def write_readers(file: Path, key: str, scope: str) -> None:
    """A file of access keys with one reader, unless there is one already."""
    if not file.exists():
        digest = sha256_hex(key)
        file.write_text(f'[[key]]\nname = "operator"\nsha256 = "{digest}"\nscopes = ["{scope}"]\n')


if __name__ == "__main__":
    main(Path(os.environ.get("DANBAO_KEYS", KEYS)), os.environ["DANBAO_OPERATOR_KEY"])
