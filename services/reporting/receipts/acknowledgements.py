"""Build acknowledgements (接收确认) of what was received from an enterprise for a closed day; none is stored."""

from datetime import date

from services.reporting.service_clients import Sources
from shared.domain.evidence.acknowledgement import Acknowledgement, read_ranges
from shared.domain.evidence.checkpoint import Checkpoint
from shared.domain.evidence.signed_note import Note


async def acknowledge(sources: Sources, uscc: str, day: date) -> Acknowledgement | None:
    """The acknowledgement of a closed day, identical for every request; None for a day that is open."""
    if not await sources.is_closed(day):
        return None
    received = await sources.received(uscc, day)
    if received is None:
        return None
    note = await sources.checkpoint_note(day)
    return Acknowledgement(
        enterprise=uscc,
        day=day,
        received=tuple(received.received.items()),
        series=tuple((name, read_ranges(ranges)) for name, ranges in received.series.items()),
        manifests=tuple((name, digest) for name, digest in received.manifests),
        parked=tuple(received.parked.items()),
        checkpoint=None if note is None else Checkpoint.parse(Note.parse(note.encode()).text),
    )
