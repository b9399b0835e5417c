"""Events whose like was read before: taken a column at a time, all of a batch at once. Pure.

What decides about a row, its own instant within the day apart, finds a form that reading alone has made. An event
without one, or with anything that its form does not vouch for, is left to be read alone: only that says what is wrong.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import repeat
from typing import Any, Final

import numpy as np

from services.charging.rows.batch import SHANGHAI_EPOCH, Limits, Record, since_epoch_us
from services.charging.rows.row_encoding import Array, Orders, number_forms
from services.charging.rows.row_kinds import TotalKey
from services.charging.rows.row_template import Form, Texts, texts
from shared.contracts.manifests import Outcome
from shared.domain.evidence.leaf import NO_INT64, RowKind
from shared.intake.free_fields import FreeFields

FORMS_LIMIT: Final = 65_536
"""Forms kept; reaching it begins anew. A day of the whole country needs some thousand."""
SERIES_LIMIT: Final = 65_536
FIRST_RECORD_MS: Final = 1_640_995_200_000
"""2022-01-01T00:00Z: no order was insured before."""
LAST_RECORD_MS: Final = 4_102_444_800_000
"""2100-01-01T00:00Z: a clock in another unit, or a lie."""
_SECOND_US: Final = 1_000_000
_SHANGHAI_US: Final = since_epoch_us(SHANGHAI_EPOCH)
_NO_FORM: Final = Form(0, 0, 0, 0, 0, None, 0, TotalKey(0, "", None, None, Outcome.RECORDED, None, None, 0), 0, 0)
"""Holds at no time."""
_NO_TEXTS: Final = texts(None, None, None)

Key = tuple[object, ...]


def template_keys(
    kind: int, topics: Sequence[str], sources: Sequence[str], days: Sequence[int], provinces: Sequence[str],
    datas: Sequence[Any],
) -> Iterable[Key]:  # fmt: skip
    """What decides about the form of each order; a source must be its topic's own when a form is kept under its key."""
    more: tuple[list[object], ...] = ()
    if kind == RowKind.ACCEPTANCE:
        more = ([data.employer_insurance_no is None for data in datas],)
    elif kind == RowKind.CANCELLATION:
        more = [data.reason for data in datas], [data.departed for data in datas]
    industries, token_keys = [data.industry for data in datas], [data.token_key for data in datas]
    return zip(repeat(kind, len(datas)), topics, sources, days, provinces, industries, token_keys, *more, strict=True)


class TemplateCache:
    """Forms and series that are known, and what is taken by them."""

    def __init__(self, places: dict[str, tuple[str, int]], limits: Limits) -> None:
        self._places = places
        self._limits = limits
        self._forms: dict[Key, Form] = {}
        self._texts: dict[str | None, Texts] = {None: _NO_TEXTS}
        self._fields = FreeFields()

    def keep_series(self, series: str) -> None:
        """Know a series that was decoded with every check."""
        if series not in self._texts:
            if len(self._texts) >= SERIES_LIMIT:
                self._texts = {None: _NO_TEXTS}
            self._texts[series] = texts(series, None, None)

    def form(self, key: Key) -> Form | None:
        """The form that was kept under a key."""
        return self._forms.get(key)

    def keep(self, key: Key, form: Form) -> None:
        """Know a form from now on."""
        if len(self._forms) >= FORMS_LIMIT:
            self._forms.clear()
        self._forms[key] = form

    def take(self, kind: int, records: Sequence[Record], events: Sequence[Any], columns: Orders) -> list[int]:
        """Add to `columns`, which hold places, tokens and nothing else yet, what is known of such events of one kind.

        Events that have no like there are taken out of the columns again; returns their places.
        """
        datas = [event.data for event in events]
        accepted = _since([data.accepted_at for data in datas])
        places = [self._places[data.acceptance_region] for data in datas]
        keys = template_keys(
            kind, [record.topic for record in records], [event.source for event in events],
            [since.days for since in accepted], [province for province, _ in places], datas,
        )  # fmt: skip
        columns.forms = [self._forms.get(key, _NO_FORM) for key in keys]
        accepted_us, now_us = _microseconds(accepted), _record_times(records)
        is_right = _hold(columns.forms, accepted_us) & (now_us >= 0)
        latest_us = now_us + self._limits.max_skew_us
        is_right &= (now_us - self._limits.max_age_us <= accepted_us) & (accepted_us <= latest_us)
        columns.accepted_us = accepted_us.tolist()
        if kind == RowKind.ACCEPTANCE:
            said = [self._texts.get(data.series) for data in datas]
            is_right &= np.array([text is not None for text in said])
            columns.ended_us, columns.sequences = [NO_INT64] * len(datas), [data.sequence for data in datas]
            columns.recorded_us = now_us.tolist()
        else:
            said = [_NO_TEXTS] * len(datas)
            is_completion = kind == RowKind.COMPLETION
            ended_us = _microseconds(
                _since([data.completed_at if is_completion else data.cancelled_at for data in datas])
            )
            is_right &= (ended_us >= accepted_us + is_completion) & (ended_us <= latest_us)
            columns.ended_us, columns.sequences = ended_us.tolist(), [NO_INT64] * len(datas)
            columns.recorded_us = columns.sequences.copy()
        columns.texts, are_right = self._with_others(datas, said)
        if are_right is not None:
            is_right &= are_right
        columns.regions = [region for _, region in places]
        columns.names = [data.order_id for data in datas]
        return columns.leave_out(is_right)

    def _with_others(self, datas: Sequence[Any], said: Sequence[Texts | None]) -> tuple[list[Any], Array | None]:
        """Agency and insurance number beside the series, where there are any: rarely; and which may be taken."""
        others = [(data.agency_uscc, data.employer_insurance_no) for data in datas]
        if others.count((None, None)) == len(others):
            return list(said), None
        laid = [
            known if other == (None, None) else texts(getattr(data, "series", None), *other)
            for data, known, other in zip(datas, said, others, strict=True)
        ]
        return laid, np.array([self._fields.are_right(*other) for other in others])


def _hold(forms: Sequence[Form], accepted_us: Array) -> Array:
    """Of each whether its form holds at its instant."""
    distinct, which = number_forms(forms)
    begin = np.array([form.begin_us for form in distinct], np.int64)[which]
    end = np.array([form.end_us for form in distinct], np.int64)[which]
    held: Array = (begin <= accepted_us) & (accepted_us < end)
    return held


def _since(instants: Sequence[datetime]) -> list[timedelta]:
    """Since the epoch of Shanghai; in the zone of the first of them, few are asked for their offset."""
    epoch = SHANGHAI_EPOCH.astimezone(instants[0].tzinfo)
    return [instant - epoch for instant in instants]


def _microseconds(since: Sequence[timedelta]) -> Array:
    """Since 1970-01-01T00:00Z."""
    seconds = np.array([each.days * 86_400 + each.seconds for each in since], np.int64)
    found: Array = seconds * _SECOND_US + np.array([each.microseconds for each in since], np.int64) + _SHANGHAI_US
    return found


def _record_times(records: Sequence[Record]) -> Array:
    """In microseconds since 1970; -1 for an impossible one."""
    stamps = np.array([record.timestamp for record in records], np.int64)
    is_possible = (stamps >= FIRST_RECORD_MS) & (stamps < LAST_RECORD_MS)
    return np.where(is_possible, np.where(is_possible, stamps, 0) * 1000, -1)
