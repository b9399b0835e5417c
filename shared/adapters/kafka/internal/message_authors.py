"""Check who sent a message of an internal topic, before its handler decodes it (docs/decisions/0018)."""

from typing import Final

import msgspec

from shared.adapters.kafka.internal.message_handling import Fault, Verify
from shared.contracts.manifests import ALONE
from shared.contracts.quarantine import Message, QuarantineReason
from shared.contracts.topics import DAYS_COUNTED, MANIFESTS, SIGNATURE_HEADER, SPEAKERS, TOTALS
from shared.domain.evidence.authors import Author, Authors, NotAuthorizedError


class _OfDeployment(msgspec.Struct, frozen=True):
    deployment: str = ALONE

    @property
    def speaker(self) -> str:
        return self.deployment


class _OfSource(msgspec.Struct, frozen=True):
    source: str

    @property
    def speaker(self) -> str:
        return self.source


_Named = type[_OfDeployment] | type[_OfSource]
_NAMING: Final[dict[str, _Named]] = {
    MANIFESTS: _OfDeployment,
    DAYS_COUNTED: _OfDeployment,
    TOTALS: _OfSource,
}
"""Topics whose messages name their author, and the one field that is read for it."""


def verify_by(authors: Authors) -> Verify:
    """A check that takes a message only of an author who may write to its topic, and says nothing in another's name."""

    def verify(message: Message) -> Fault | None:
        try:
            author = authors.of_message(SPEAKERS, message.topic, _signature(message), message.body)
            _check_name(message, author)
        except NotAuthorizedError as error:
            return Fault(QuarantineReason(error.fault), str(error))
        return None

    return verify


def _signature(message: Message) -> bytes | None:
    """The signature header; None where there is none, or more than one."""
    signatures = [value for name, value in message.headers if name == SIGNATURE_HEADER]
    return signatures[0] if len(signatures) == 1 else None


def _check_name(message: Message, author: Author) -> None:
    """The author is known by now; what does not decode is left for the handler to refuse."""
    if message.topic not in _NAMING:
        return
    try:
        named = msgspec.json.decode(message.body, type=_NAMING[message.topic]).speaker
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return
    if named != author.identity:
        reason = f"{message.topic}: it says that {named!r} sends it, and the key is of {author.name}"
        raise NotAuthorizedError("wrong_author", reason)
