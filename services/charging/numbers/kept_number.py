"""The number that the bytes of a parked event or a conflict bear: kept beside them, for it outlives the bytes. Pure."""

from typing import Annotated, Final

import msgspec

from shared.contracts.bounds import Series
from shared.contracts.events import SOURCE_PREFIX
from shared.contracts.events import Sequence as SequenceNumber
from shared.domain.privacy.identity import reads_as_identity


class _Numbered(msgspec.Struct):
    series: Series
    sequence: SequenceNumber


class _Kept(msgspec.Struct):
    """As much of an acceptance as its number needs; whatever else is wrong with it."""

    type: Annotated[str, msgspec.Meta(pattern=r"^order\.accepted\.v1$")]
    source: str
    data: _Numbered


_read_kept: Final = msgspec.json.Decoder(_Kept).decode


def read_kept_number(value: bytes | None, uscc: str) -> tuple[str | None, int | None]:
    """Series and number in the bytes, where they can be read and are that enterprise's own; else None and None."""
    try:
        kept = _read_kept(value or b"")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None, None
    if kept.source != SOURCE_PREFIX + uscc or reads_as_identity(kept.data.series):
        return None, None
    return kept.data.series, kept.data.sequence
