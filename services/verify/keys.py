"""Read the verifier's keys, and check a checkpoint's signatures with them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.verify.verdict import NotProved, step
from shared.domain.calendar import SHANGHAI
from shared.domain.errors import Refused
from shared.domain.evidence.authors import Author, Authors, Role, is_author_line
from shared.domain.evidence.checkpoint import Checkpoint
from shared.domain.evidence.signed_note import COSIGNATURE, ED25519, Note, VerifierKey, check_note


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of the log (one must have signed), of its witnesses (one must have cosigned) and of authors."""

    log: tuple[VerifierKey, ...]
    witnesses: tuple[VerifierKey, ...]
    authors: Authors

    @classmethod
    def read(cls, given: Iterable[str]) -> "Keys":
        """Parse vkeys, or files with one a line (`#` begins a comment); `Refused` without a log's or charging's.

        An author's has its role behind it: `vkey charging charging`.
        """
        lines = [line for source in given for line in _lines(source)]
        keys = [VerifierKey.parse(line) for line in lines if not is_author_line(line)]
        authors = Authors((Author.parse(line) for line in lines if is_author_line(line)), is_signed)
        log = tuple(key for key in keys if key.kind == ED25519)
        if not log:
            raise Refused("no key of the log is given: --key with its vkey (name+id+base64), or a file of vkeys")
        if not authors.has(Role.CHARGING):
            raise Refused(
                "no key of charging is given, so who made the entries could not be checked: --key with a file"
                " of vkeys that names it, or with `vkey charging DEPLOYMENT`"
            )
        return cls(log, tuple(key for key in keys if key.kind == COSIGNATURE), authors)


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint with verified signatures; `who` names the signers as part of a sentence."""

    checkpoint: Checkpoint
    who: str


def check_checkpoint(data: bytes, keys: Keys) -> Signed:
    """Check a note's signatures: a key of the log must have signed and, where witnesses are named, one cosigned."""
    with step("checkpoint"):
        note = Note.parse(data)
        checkpoint = Checkpoint.parse(note.text)
    with step("signature of the log"):
        held = check_note(note, keys.log, is_signed)
        signers = [key.name for key in keys.log if key in held and key.name == checkpoint.origin]
        if not signers:
            raise NotProved("signature of the log", f"no key of {checkpoint.origin} that you gave has signed it")
    who = f"signed by {signers[0]}"
    if not keys.witnesses:
        return Signed(checkpoint, who + " alone (no witness's key was given)")
    with step("cosignature of the witness"):
        cosigned = check_note(note, keys.witnesses, is_signed)
        if not cosigned:
            raise NotProved("cosignature of the witness", "none of the witnesses that you named has cosigned it")
    name, at = next((key.name, time) for key, time in cosigned.items())
    return Signed(checkpoint, f"{who} and cosigned by {name} at {shown_instant((at or 0) * 1_000_000)}")


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether the Ed25519 signature is valid for this key and message."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def shown_instant(microseconds: int) -> str:
    """Format microseconds since 1970 in Asia/Shanghai; a value outside the calendar stays a number."""
    try:
        at = datetime.fromtimestamp(microseconds // 1_000_000, UTC).astimezone(SHANGHAI)
    except (OverflowError, ValueError, OSError):
        return f"{microseconds} µs"
    return f"{at:%Y-%m-%d %H:%M:%S} +08:00"


def _lines(given: str) -> list[str]:
    if "+" in given:
        return [given]
    try:
        text = Path(given).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{given}: neither a vkey nor a file of vkeys: {error}") from error
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
