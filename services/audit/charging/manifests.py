"""Check rows against manifests and positions: I1, I2 and the first half of I4."""

from collections import Counter, defaultdict
from typing import Final

from services.audit.charging.batches import BatchContents, TotalKey
from services.audit.charging.row_contents import RowReader
from services.audit.facts import Facts, Manifest
from services.audit.verdict import Verdict
from shared.adapters.postgres.pool import Connection
from shared.contracts.manifests import Outcome, Total
from shared.contracts.topics import enterprise_of

_WITHOUT_PLACE = ("parked", "conflict")
"""Outcomes whose day and place are known only from the kept bytes: counted by enterprise and reason."""


async def check_manifests(connection: Connection, facts: Facts, rows: RowReader, verdict: Verdict) -> None:
    """Check every batch's rows against its manifest."""
    _check_sums(facts, verdict)
    await _check_positions(connection, facts, rows, verdict)
    leaves = verdict.check("I4", "every leaf and root recomputed from the rows is the manifest's")
    totals = verdict.check("I4", "rows = manifests: orders and premium of every batch")
    for batch, manifest in facts.manifests.items():
        contents = rows.batches.get(batch, BatchContents(0))
        worked_out = (contents.count, contents.root().hex())
        leaves.compare(manifest.name, (manifest.leaves, manifest.root), worked_out)
        leaves.compare(f"{manifest.name}, payload", (manifest.reported.leaves, manifest.reported.root), worked_out)
        totals.compare_all(f"{manifest.name},", _reported(manifest), contents.sums())
    for batch in rows.batches.keys() - facts.manifests.keys():
        totals.find(f"{rows.batches[batch].count} rows of batch {batch}, which has no manifest")
    await _check_batch_days(connection, rows, verdict)


def _check_sums(facts: Facts, verdict: Verdict) -> None:
    """Check I2 and that manifest numbers have no gaps."""
    check = verdict.check("I2", "events = charged + excluded + recorded + parked + repeats + conflicts, per manifest")
    last: dict[str, int] = defaultdict(int)
    for manifest in facts.manifests.values():
        counted = sum(total.orders for total in _events(manifest))
        check.compare(f"{manifest.name}, events", manifest.events, counted)
        identity = (manifest.reported.run, manifest.reported.number, manifest.reported.kind)
        kind = "settlement" if manifest.purpose == "close" else manifest.purpose
        check.compare(f"{manifest.name}, payload", identity, (manifest.run, manifest.number, kind))
        check.compare(f"{manifest.name}, the number that follows", manifest.number, last[manifest.run] + 1)
        last[manifest.run] = manifest.number


_POSITIONS: Final = """
    select topic, partition, first_offset, next_offset, events, false as goes_back from charging.position
    union all
    select topic, partition, first_offset, from_offset, events, to_offset < from_offset from charging.moved_on"""
"""Positions of each partition, now and when an operator moved on: a recreated log begins at a lower offset."""


async def _check_positions(connection: Connection, facts: Facts, rows: RowReader, verdict: Verdict) -> None:
    check = verdict.check("I1", "events counted in positions = events in manifests, for each enterprise's topic")
    stored: Counter[str] = Counter()
    begun_again: Counter[tuple[str, int]] = Counter()
    for row in await connection.fetch(_POSITIONS):
        stored[enterprise_of(row["topic"]) or row["topic"]] += row["events"]
        begun_again[row["topic"], row["partition"]] += row["goes_back"]
        if not 0 <= row["events"] <= row["next_offset"] - row["first_offset"]:
            check.find(f"charging.position {row['topic']}/{row['partition']}: more events than offsets")
    counted: Counter[str] = Counter()
    for manifest in facts.manifests.values():
        for total in _events(manifest):
            counted[total.enterprise] += total.orders
    check.compare_all("charging.position, topic of", dict(+stored), dict(+counted))
    for place, count in rows.kept.items():
        if count > 1 + begun_again[place[0], place[1]]:
            check.find(f"the record {place[0]}/{place[1]} at {place[2]} is kept {count} times")


def _events(manifest: Manifest) -> list[Total]:
    """Return the totals that count events; settlements and corrections hold rows derived by charging."""
    return manifest.reported.totals if manifest.reported.kind == "orders" else []


def _reported(manifest: Manifest) -> dict[TotalKey, tuple[int, int]]:
    """Orders and premium by total of the manifest, without repeats, which leave no row."""
    sums: dict[TotalKey, tuple[int, int]] = {}
    for total in manifest.reported.totals:
        if total.outcome is Outcome.REPEAT:
            continue
        reason, outcome = total.reason, total.outcome.value
        if outcome in _WITHOUT_PLACE:
            key: TotalKey = (None, total.enterprise, None, None, outcome, reason, None)
        else:
            place = (total.insured_on, total.enterprise, total.province, total.industry)
            key = (*place, outcome, reason, total.tariff_line)
        orders, premium = sums.get(key, (0, 0))
        sums[key] = (orders + total.orders, premium + total.premium)
    return sums


async def _check_batch_days(connection: Connection, rows: RowReader, verdict: Verdict) -> None:
    check = verdict.check("I4", "the days that batches are said to touch hold all the days of their rows")
    said = {(row["batch"], row["insured_on"]) for row in await connection.fetch("select * from charging.batch_day")}
    for batch, contents in rows.batches.items():
        for day in contents.days:
            if (batch, day) not in said:
                check.find(f"charging.batch_day: batch {batch} has rows of {day}")
