"""The acknowledgement (接收确认) of what came from an enterprise for a day: text that a signed note carries. Pure.

The enterprise keeps the note; what we said we had received cannot be said otherwise later. Lines, each once but for
`received`, `parked`, `series` and `manifest`, in this order:

    danbao acknowledgement v1
    enterprise <USCC>
    day <YYYY-MM-DD>
    received <outcome> <events>         for each outcome that occurred between the close before and this one
    parked <reason> <events>            of those that are parked, by reason (搁置)
    series <name> <ranges>              numbers of the day's acceptances, such as 1-99,101
    manifest <declaration id> <SHA-256> the enterprise's own manifests of the day, in the order of their receipt
    checkpoint <origin> <size> <root>   of the log at the day's close; root in hexadecimal; missing where no log is kept
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final

from shared.domain.books.number_ranges import Ranges, united
from shared.domain.errors import Refused
from shared.domain.evidence.checkpoint import Checkpoint
from shared.domain.evidence.signed_note import IsSigned, Note, VerifierKey, check_note
from shared.domain.scheme.enterprise import USCC_FORM
from shared.domain.times import read_day

HEADER: Final = "danbao acknowledgement v1"
_RANGE: Final = "[0-9]{1,16}(?:-[0-9]{1,16})?"
_LINES: Final = {
    "enterprise": re.compile(f"enterprise ({USCC_FORM})"),
    "day": re.compile(r"day ([0-9]{4}-[0-9]{2}-[0-9]{2})"),
    "received": re.compile(r"received ([a-z]+) ([1-9][0-9]{0,14})"),
    "parked": re.compile(r"parked ([a-z_]{1,64}) ([1-9][0-9]{0,14})"),
    "series": re.compile(rf"series ([A-Za-z0-9_-]{{1,16}}) ({_RANGE}(?:,{_RANGE})*)"),
    "manifest": re.compile(r"manifest ([A-Za-z0-9_.:-]{1,64}) ([0-9a-f]{64})"),
    "checkpoint": re.compile(r"checkpoint (\S+) (0|[1-9][0-9]{0,18}) ([0-9a-f]{64})"),
}


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What one acknowledgement says; `checkpoint` is None where the ledger keeps no log."""

    enterprise: str
    day: date
    received: tuple[tuple[str, int], ...]
    series: tuple[tuple[str, Ranges], ...]
    manifests: tuple[tuple[str, str], ...]
    checkpoint: Checkpoint | None = None
    parked: tuple[tuple[str, int], ...] = ()

    @property
    def text(self) -> str:
        """The note's text, with its final newline."""
        lines = [HEADER, f"enterprise {self.enterprise}", f"day {self.day}"]
        lines += [f"received {outcome} {events}" for outcome, events in self.received]
        lines += [f"parked {reason} {events}" for reason, events in self.parked]
        lines += [f"series {name} {write_ranges(ranges)}" for name, ranges in self.series]
        lines += [f"manifest {name} {digest}" for name, digest in self.manifests]
        if self.checkpoint is not None:
            of = self.checkpoint
            lines.append(f"checkpoint {of.origin} {of.size} {of.root.hex()}")
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def parse(cls, text: str) -> "Acknowledgement":
        """The opposite of `text`; `Refused` for anything that it would not write so."""
        header, *lines = text.removesuffix("\n").split("\n")
        fields = {name: [match.groups() for line in lines if (match := form.fullmatch(line))]
                 for name, form in _LINES.items()}  # fmt: skip
        try:
            ((enterprise,),), ((day,),) = fields["enterprise"], fields["day"]
            checkpoints = [Checkpoint(origin, int(size), bytes.fromhex(root))
                           for origin, size, root in fields["checkpoint"]]  # fmt: skip
            reported = cls(
                enterprise=enterprise,
                day=read_day(day),
                received=tuple((outcome, int(events)) for outcome, events in fields["received"]),
                series=tuple((name, read_ranges(ranges)) for name, ranges in fields["series"]),
                manifests=tuple((name, digest) for name, digest in fields["manifest"]),
                checkpoint=checkpoints[0] if checkpoints else None,
                parked=tuple((reason, int(events)) for reason, events in fields["parked"]),
            )
        except (ValueError, Refused) as error:
            raise Refused(f"not an acknowledgement: {error}") from error
        if header != HEADER or reported.text != text:
            raise Refused("not an acknowledgement in the form of version 1")
        return reported


def check_acknowledgement(data: bytes, keys: Iterable[VerifierKey], is_signed: IsSigned) -> Acknowledgement:
    """What a note says, when one of the keys has signed it; `Refused` with the reason otherwise."""
    note = Note.parse(data)
    if not check_note(note, keys, is_signed):
        raise Refused("none of the keys that you gave has signed this acknowledgement")
    return Acknowledgement.parse(note.text)


def write_ranges(ranges: Ranges) -> str:
    """Encode ranges such as 1-99,101."""
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def read_ranges(text: str) -> Ranges:
    """The opposite of `write_ranges`; `ValueError` for what is not in its form."""
    pairs = [tuple(map(int, part.split("-"))) for part in text.split(",")]
    ranges = [(pair[0], pair[-1]) for pair in pairs]
    if any(first > last for first, last in ranges) or united(ranges) != ranges:
        raise ValueError(f"ranges that are not in their order: {text[:60]}")
    return ranges
