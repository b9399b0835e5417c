"""Rows and leaves encoded a column at a time, against the leaf of each and a stream packed value by value."""

import struct
from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.charging.rows.order_columns import COPY_COLUMNS
from services.charging.rows.row_encoding import OrderArrays, copy_stream, encode_rows
from services.charging.rows.row_template import RowTemplate, encode_variable_fields
from shared.contracts.manifests import Outcome
from shared.domain.evidence.leaf import NO_INT64, order_leaf
from shared.domain.evidence.merkle import leaf_hash
from shared.intake.rated_events import TotalKey

USCC = "91350211M000100Y43"
EPOCH_2000_US = 946_684_800_000_000
BATCH = 7 << 32 | 9
TIMES = st.integers(1_600_000_000_000_000, 4_200_000_000_000_000)
TEXTS = ("series", "agency_uscc", "employer_insurance_no")
TEXT = st.text("AZaz09é单", max_size=20)
ORDERS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from([1, 2, 3, 4, 8, 9]),
        "premium": st.integers(-(2**31), 2**31 - 1),
        "tariff_line": st.integers(0, 32_767),
        "token_key": st.integers(1, 32_767),
        "industry": st.integers(0, 3),
        "reason": st.integers(0, 9),
        "departed": st.sampled_from([None, False, True]),
        "accepted_us": TIMES,
        "when": st.one_of(
            st.tuples(st.just("sequence"), st.integers(1, 2**53 - 1)), st.tuples(st.just("ended_us"), TIMES),
            st.just(("neither", 0)),
        ),
        "region": st.integers(0, 999_999),
        "token": st.binary(min_size=32, max_size=32),
        "received": st.binary(min_size=32, max_size=32),
        "order_id": TEXT,
        "texts": st.tuples(st.none() | TEXT, st.none() | TEXT, st.none() | TEXT),
        "delay_us": st.none() | st.integers(-300_000_000, 300_000_000) | st.sampled_from([59_999_999, 60_000_000]),
    }
)  # fmt: skip


def form_of(order: dict[str, Any]) -> RowTemplate:
    total = TotalKey(0, USCC, None, None, Outcome.CHARGED, None, order["tariff_line"], 0)
    return RowTemplate(
        3, order["kind"], order["token_key"], order["industry"], order["reason"], order["departed"], order["premium"],
        total, 0, 1,
    )  # fmt: skip


def columns_of(orders: list[dict[str, Any]]) -> OrderArrays:
    columns = OrderArrays()
    for index, order in enumerate(orders):
        name, value = order["when"]
        columns.indexes.append(index)
        columns.templates.append(form_of(order))
        columns.accepted_us.append(order["accepted_us"])
        columns.ended_us.append(value if name == "ended_us" else NO_INT64)
        columns.sequences.append(value if name == "sequence" else NO_INT64)
        columns.regions.append(order["region"])
        columns.tokens.append(order["token"])
        columns.received.append(order["received"])
        columns.order_ids.append(order["order_id"])
        texts = dict(zip(TEXTS, order["texts"], strict=True))
        columns.variable_fields.append(encode_variable_fields(SimpleNamespace(**texts)))
        delay_us = order["delay_us"]
        columns.recorded_us.append(NO_INT64 if delay_us is None else order["accepted_us"] + delay_us)
    return columns


def model_leaf(order: dict[str, Any]) -> bytes:
    name, value = order["when"]
    departed = -1 if order["departed"] is None else int(order["departed"])
    series, agency, insurance = (None if text is None else text.encode() for text in order["texts"])
    content = order_leaf(
        order["kind"], USCC.encode(), order["accepted_us"], value if name == "ended_us" else NO_INT64,
        value if name == "sequence" else NO_INT64, order["premium"], order["region"], order["tariff_line"],
        order["token_key"], order["industry"], order["reason"], departed, order["token"], order["received"],
        order["order_id"].encode(), series, agency, insurance,
    )  # fmt: skip
    return leaf_hash(content)


def model_fields(index: int, order: dict[str, Any]) -> dict[str, bytes | None]:
    name, value = order["when"]
    series, agency, insurance = (None if text is None else text.encode() for text in order["texts"])
    delay_us = order["delay_us"] or 0
    recorded_at = struct.pack(">q", order["accepted_us"] + delay_us - EPOCH_2000_US)
    return {
        "accepted_at": struct.pack(">q", order["accepted_us"] - EPOCH_2000_US),
        "worker_key": order["token"][:8],
        "leaf_index": struct.pack(">i", index),
        "batch": struct.pack(">q", BATCH),
        "region": struct.pack(">i", order["region"]),
        "ended_at": struct.pack(">q", value - EPOCH_2000_US) if name == "ended_us" else None,
        "sequence": struct.pack(">q", value) if name == "sequence" else None,
        "worker_rest": order["token"][8:],
        "received": order["received"],
        "order_id": order["order_id"].encode(),
        "enterprise": struct.pack(">h", 3),
        "kind": struct.pack(">h", order["kind"]),
        "premium": struct.pack(">i", order["premium"]),
        "tariff_line": struct.pack(">h", order["tariff_line"]),
        "token_key": struct.pack(">h", order["token_key"]),
        "industry": struct.pack(">h", order["industry"]),
        "reason": struct.pack(">h", order["reason"]),
        "departed": None if order["departed"] is None else bytes([order["departed"]]),
        "series": series,
        "agency_uscc": agency,
        "employer_insurance_no": insurance,
        "recorded_at": recorded_at if delay_us >= 60_000_000 else None,
    }


def model_stream(orders: list[dict[str, Any]]) -> bytes:
    stream = b"PGCOPY\n\xff\r\n\0" + bytes(8)
    for index, order in enumerate(orders):
        fields = model_fields(index, order)
        stream += struct.pack(">h", len(fields))
        for name in COPY_COLUMNS:
            value = fields[name]
            stream += struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value
    return stream + b"\xff\xff"


@given(st.lists(ORDERS, max_size=12))
def test_rows_and_leaves_are_those_of_each_order_by_itself(orders: list[dict[str, Any]]) -> None:
    rows, leaves = encode_rows(columns_of(orders), BATCH)
    assert leaves == [model_leaf(order) for order in orders]
    assert copy_stream(rows).tobytes() == model_stream(orders)
    assert [row[:6] for row in rows] == [
        (
            order["accepted_us"], 3, order["order_id"], int.from_bytes(order["token"][:8], signed=True), order["kind"],
            index,
        )
        for index, order in enumerate(orders)
    ]  # fmt: skip


@given(st.lists(st.tuples(ORDERS, st.booleans()), max_size=6))
def test_what_is_left_out_is_told_and_gone(orders: list[tuple[dict[str, Any], bool]]) -> None:
    columns, kept = columns_of([order for order, _ in orders]), [is_kept for _, is_kept in orders]
    assert columns.keep_only(np.array(kept, bool)) == [place for place, is_kept in enumerate(kept) if not is_kept]
    assert columns.order_ids == [order["order_id"] for order, is_kept in orders if is_kept]
