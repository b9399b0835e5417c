"""Make what a deployment needs once: keys that sign reports and checkpoints, and the files of who may read.

`python -m deploy.first_keys`, run by the compose file before the services. What exists is left as it is, so that it
can be run again. People and programs that read have accounts and keys of their own: `danbao user`, `danbao key`.
"""

import os
from pathlib import Path

from shared.adapters.files.vkeys import add_vkey
from shared.adapters.signing import make_key_pair, make_note_key
from shared.domain.signed_note import COSIGNATURE, ED25519
from shared.runtime.access import sha256_hex
from shared.runtime.settings import Settings

KEYS = "/keys"
"""Where the compose file mounts a volume for each of the folders; DANBAO_KEYS names another place."""


def main(keys: Path, operator_key: str) -> None:
    """Write the missing ones; the operator's key itself is kept nowhere, only its hash.

    `private` is for reporting alone, `log` for the ledger, `witness` for the national platform, `readers` for our
    services, `public` for everybody.
    """
    make_key_pair(keys / "private" / "signing.pem", keys / "public" / "signing.pub.pem")
    make_log_keys(keys / "log" / "log.pem", keys / "witness" / "witness.pem", keys / "public" / "vkeys")
    write_readers(keys / "readers" / "access.toml", operator_key, "operator")
    write_readers(keys / "public" / "platform-access.toml", operator_key, "national")


def make_log_keys(log: Path, witness: Path, vkeys: Path) -> dict[str, str]:
    """The keys of the evidence log and of its witness, both in the file of vkeys; returns the settings that name them.

    Names are those of DANBAO_LOG_ORIGIN and DANBAO_WITNESS_NAME. A key that was replaced stays in the file.
    """
    settings = Settings()
    add_vkey(vkeys, make_note_key(log, settings.log_origin, ED25519))
    add_vkey(vkeys, make_note_key(witness, settings.witness_name, COSIGNATURE))
    return {"DANBAO_LOG_KEYS": str(log), "DANBAO_WITNESS_KEY": str(witness), "DANBAO_VKEYS": str(vkeys)}


def write_readers(file: Path, key: str, scope: str) -> None:
    """A file of access keys with one reader, unless there is one already."""
    if not file.exists():
        digest = sha256_hex(key)
        file.write_text(f'[[key]]\nname = "operator"\nsha256 = "{digest}"\nscopes = ["{scope}"]\n')


if __name__ == "__main__":
    main(Path(os.environ.get("DANBAO_KEYS", KEYS)), os.environ["DANBAO_OPERATOR_KEY"])
