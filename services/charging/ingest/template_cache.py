"""Template cache, the vectorised fast path: encodes events whose row template is cached, a column at a time. Pure.

The key of a template is all that decides about a row, except its instant within the day. An event without a template,
or with a value that the template does not vouch for, is left to the slow path: only that says what is wrong.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import repeat
from operator import attrgetter
from typing import Any, Final

import numpy as np

from services.charging.rows.batch import Record
from services.charging.rows.row_encoding import Array, OrderArrays, number_templates
from services.charging.rows.row_template import (
    VARIABLE_NAMES,
    RowTemplate,
    VariableFields,
    encode_series,
    encode_variable_fields,
)
from shared.contracts.manifests import Outcome
from shared.domain.calendar import SHANGHAI_EPOCH, since_epoch_us
from shared.domain.evidence.leaf import NO_INT64, RowKind
from shared.intake.free_fields import FreeFields
from shared.intake.limits import FIRST_RECORD_MS, LAST_RECORD_MS, IntakeLimits
from shared.intake.rated_events import RatedOrder, TotalKey

MOST_TEMPLATES: Final = 65_536
"""Templates kept; the cache is cleared when it is full. A day of the whole country needs some thousand."""
MOST_SERIES: Final = 65_536
"""Names of series kept; cleared when there are more."""
_SECOND_US: Final = 1_000_000
_SHANGHAI_US: Final = since_epoch_us(SHANGHAI_EPOCH)
_NO_TEMPLATE: Final = RowTemplate(
    0, 0, 0, 0, 0, None, 0, TotalKey(0, "", None, None, Outcome.RECORDED, None, None, 0), 0, 0
)
"""Valid at no time."""
_NO_FIELDS: Final = encode_series(None)
_free_fields: Final = attrgetter(*(name for name in VARIABLE_NAMES if name != "series"))

TemplateKey = tuple[object, ...]


def template_keys(
    kind: int, topics: Sequence[str], sources: Sequence[str], days: Sequence[int], provinces: Sequence[str],
    datas: Sequence[Any],
) -> Iterable[TemplateKey]:  # fmt: skip
    """Compute the key of each order's template; a template is cached under a key with its topic's own source."""
    more: tuple[list[object], ...] = ()
    if kind == RowKind.ACCEPTANCE:
        more = ([data.employer_insurance_no is None for data in datas],)
    elif kind == RowKind.CANCELLATION:
        more = [data.reason for data in datas], [data.departed for data in datas]
    industries, token_keys = [data.industry for data in datas], [data.token_key for data in datas]
    return zip(repeat(kind, len(datas)), topics, sources, days, provinces, industries, token_keys, *more, strict=True)


class TemplateCache:
    """Caches row templates and names of series, and encodes orders with them."""

    def __init__(self, regions: Iterable[str], limits: IntakeLimits) -> None:
        self._regions = {region: (region[:2], int(region)) for region in regions}
        self._limits = limits
        self._templates: dict[TemplateKey, RowTemplate] = {}
        self._series: dict[str | None, VariableFields] = {None: _NO_FIELDS}
        self._fields = FreeFields()

    def keep_series(self, series: str) -> None:
        """Cache a name of a series that was decoded with every check."""
        if series not in self._series:
            if len(self._series) >= MOST_SERIES:
                self._series = {None: _NO_FIELDS}
            self._series[series] = encode_series(series)

    def key_of(self, topic: str, source: str, order: RatedOrder) -> TemplateKey:
        """The key of an order's template."""
        total = order.total
        (key,) = template_keys(order.kind, [topic], [source], [total.insured_on], [total.province or ""], [order.data])
        return key

    def find(self, key: TemplateKey, accepted_us: int) -> RowTemplate | None:
        """The template under a key, where it is valid at this instant."""
        template = self._templates.get(key)
        return template if template and template.begin_us <= accepted_us < template.end_us else None

    def keep(self, key: TemplateKey, template: RowTemplate) -> None:
        """Cache a template."""
        if len(self._templates) >= MOST_TEMPLATES:
            self._templates.clear()
        self._templates[key] = template

    def fill(self, kind: int, records: Sequence[Record], events: Sequence[Any], columns: OrderArrays) -> list[int]:
        """Fill `columns`, which hold indexes and tokens of these events of one kind, with all the other values.

        Events that need the slow path are taken out of the columns; returns their indexes.
        """
        datas = [event.data for event in events]
        since_epoch = _since_epoch([data.accepted_at for data in datas])
        regions = [self._regions[data.acceptance_region] for data in datas]
        keys = template_keys(
            kind, [record.topic for record in records], [event.source for event in events],
            [since.days for since in since_epoch], [province for province, _ in regions], datas,
        )  # fmt: skip
        columns.templates = [self._templates.get(key, _NO_TEMPLATE) for key in keys]
        accepted_us, now_us = _microseconds(since_epoch), _record_times(records)
        is_known = _are_valid(columns.templates, accepted_us) & (now_us >= 0)
        latest_us = now_us + self._limits.max_skew_us
        is_known &= (now_us - self._limits.max_age_us <= accepted_us) & (accepted_us <= latest_us)
        columns.accepted_us = accepted_us.tolist()
        series: list[VariableFields | None] = [_NO_FIELDS] * len(datas)
        missing = [NO_INT64] * len(datas)
        columns.ended_us, columns.sequences, columns.recorded_us = missing, missing.copy(), missing.copy()
        if kind == RowKind.ACCEPTANCE:
            series = [self._series.get(data.series) for data in datas]
            is_known &= np.array([name is not None for name in series])
            columns.sequences, columns.recorded_us = [data.sequence for data in datas], now_us.tolist()
        else:
            ended_us = _end_times(kind, datas)
            is_known &= (ended_us >= accepted_us) & (ended_us <= latest_us)
            columns.ended_us = ended_us.tolist()
        columns.variable_fields, are_valid = self._with_free_fields(datas, series)
        if are_valid is not None:
            is_known &= are_valid
        columns.regions = [region for _, region in regions]
        columns.order_ids = [data.order_id for data in datas]
        return columns.keep_only(is_known)

    def _with_free_fields(
        self, datas: Sequence[Any], series: Sequence[VariableFields | None]
    ) -> tuple[list[Any], Array | None]:
        """Add the other texts to the series where there are any, which is rare; and whether they are valid."""
        fields = list(map(_free_fields, datas))
        none = (None,) * (len(VARIABLE_NAMES) - 1)
        if fields.count(none) == len(fields):
            return list(series), None
        encoded = [
            known if texts == none else encode_variable_fields(data)
            for data, known, texts in zip(datas, series, fields, strict=True)
        ]
        return encoded, np.array([self._fields.are_right(*texts) for texts in fields])


def _are_valid(templates: Sequence[RowTemplate], accepted_us: Array) -> Array:
    """Whether each template is valid at its order's instant."""
    distinct, which = number_templates(templates)
    begin = np.array([template.begin_us for template in distinct], np.int64)[which]
    end = np.array([template.end_us for template in distinct], np.int64)[which]
    valid: Array = (begin <= accepted_us) & (accepted_us < end)
    return valid


def _since_epoch(instants: Sequence[datetime]) -> list[timedelta]:
    """Time since the Shanghai epoch; in the zone of the first instant, so that few need their offset worked out."""
    epoch = SHANGHAI_EPOCH.astimezone(instants[0].tzinfo)
    return [instant - epoch for instant in instants]


def _microseconds(since_epoch: Sequence[timedelta]) -> Array:
    """Microseconds since 1970-01-01T00:00Z."""
    seconds = np.array([since.days * 86_400 + since.seconds for since in since_epoch], np.int64)
    rest = np.array([since.microseconds for since in since_epoch], np.int64)
    result: Array = seconds * _SECOND_US + rest + _SHANGHAI_US
    return result


def _end_times(kind: int, datas: Sequence[Any]) -> Array:
    """Completions or cancellations in microseconds since 1970."""
    is_completion = kind == RowKind.COMPLETION
    return _microseconds(_since_epoch([data.completed_at if is_completion else data.cancelled_at for data in datas]))


def _record_times(records: Sequence[Record]) -> Array:
    """Record times in microseconds since 1970; -1 for an impossible one."""
    times_ms = np.array([record.timestamp for record in records], np.int64)
    is_possible = (times_ms >= FIRST_RECORD_MS) & (times_ms < LAST_RECORD_MS)
    return np.where(is_possible, np.where(is_possible, times_ms, 0) * 1000, -1)
