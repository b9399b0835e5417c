"""The proof of an order: every row of it leads to the root of its batch, or no proof is given."""

from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest
from asyncpg import CheckViolationError
from sqlalchemy import ColumnElement, literal, literal_column, select

from services.charging.queries.entry_rows import entry_of_day, partition_of
from services.charging.queries.orders import ORDER_OF_DAY
from services.charging.queries.proofs import Altered, Proofs
from services.charging.store.leaf_groups import SIZE, Groups
from services.charging.store.partition_queries import open_query_pool
from shared.adapters.postgres.pool import PATIENT
from shared.adapters.postgres.queries.statements import Command
from shared.domain.calendar import insured_day
from shared.domain.evidence.leaf import RowKind
from shared.domain.evidence.merkle import leaf_hash, verify_inclusion
from tests.integration.charging.charging_harness import (
    NOON,
    RIDES,
    House,
    Sent,
    accepted,
    cancelled,
    completed,
    declared,
)
from tests.integration.charging.test_charging_evidence import of_every_kind, stored_leaves

DAY = insured_day(NOON)


async def assert_proved(house: House, order_id: str, day: date | None = DAY) -> list[int]:
    """The kinds of row that are proved, each to the root of its manifest."""
    proofs = await Proofs(house.pool).order(RIDES, order_id, day)
    for row in proofs:
        root = bytes.fromhex(row.manifest.root)
        assert verify_inclusion(leaf_hash(row.content), row.rank, row.manifest.leaves, row.proof, root)
    return [row.kind for row in proofs]


async def test_rows_of_every_kind_lead_to_their_roots(house: House) -> None:
    """Over several groups, with repeats between, whose indexes no leaf has, and rows of two days."""
    one, yesterday = await house.worker(), NOON - timedelta(days=1)
    many = [accepted(f"m{n:03}", NOON + timedelta(seconds=n)) for n in range(SIZE)]
    await one.charge(*of_every_kind("a"), *many)
    again = [accepted("a1", token_key=9), declared("ad", orders=5), cancelled("a5", reason="worker")]
    mixed: list[Sent] = [*of_every_kind("a"), *again, *many, *of_every_kind("b"), completed("z", yesterday)]
    for n in range(2 * SIZE):
        mixed += [accepted(f"n{n:03}", NOON + timedelta(seconds=n)), many[n % SIZE]]
    await one.charge(*mixed)
    await one.settle()
    for batch, stored in await house.fetch("select batch, groups from charging.manifest order by 1"):
        leaves, groups = await stored_leaves(house, batch), Groups.read(stored)
        assert len(groups.roots) == -(-len(leaves) // SIZE)
        assert Groups.of(leaves).roots == groups.roots
    for order_id in ("a1", "b1", "b5", "m000", "m127", "n000", f"n{SIZE - 2:03}", f"n{2 * SIZE - 1:03}"):
        assert len(await assert_proved(house, order_id)) > 0
        assert await assert_proved(house, order_id, None) == await assert_proved(house, order_id)
    assert await assert_proved(house, "z", insured_day(yesterday)) == [RowKind.COMPLETION]


async def test_a_manifest_has_a_root_for_each_group(house: House) -> None:
    await (await house.worker()).charge(accepted("o1"))
    with pytest.raises(CheckViolationError, match="groups"):
        await house.pool.execute(
            "insert into charging.manifest (batch, run_id, number, events, leaves, root, payload, groups)"
            " select batch + 1, run_id, number + 1, 0, 129, root, payload, groups from charging.manifest"
        )


@pytest.mark.parametrize("sealed", [False, True], ids=["open", "sealed"])
async def test_every_row_of_an_order_is_proved_to_its_manifest(house: House, sealed: bool) -> None:
    one = await house.worker()
    await one.charge(*(accepted(f"o{number}") for number in range(9)), *of_every_kind("a"))
    await one.charge(cancelled("o5"), accepted("x"))
    await one.settle()
    if sealed:
        await house.pool.execute("select charging.seal_partition($1)", DAY)
    kinds = [RowKind.ACCEPTANCE, RowKind.CANCELLATION, RowKind.REVERSAL]
    assert await assert_proved(house, "o5") == kinds
    proofs = await Proofs(house.pool).order(RIDES, "o5", DAY)
    assert len({(row.manifest.run, row.manifest.number) for row in proofs}) == 3


async def test_an_order_that_is_not_there_has_no_proof(house: House) -> None:
    one = await house.worker()
    await one.charge(accepted("o1"))
    assert await Proofs(house.pool).order(RIDES, "o2", DAY) == []
    assert await Proofs(house.pool).order(RIDES, "o1", DAY + timedelta(days=1)) == []


@pytest.mark.parametrize("change", ["set premium = premium + 1", "set received = sha256('')", "delete"])
async def test_no_proof_is_given_of_a_group_of_which_another_row_was_altered(house: House, change: str) -> None:
    """Orders of the batch's other groups keep their proofs."""
    one = await house.worker()
    await one.charge(*(accepted(f"o{n}", NOON + timedelta(seconds=n)) for n in range(SIZE + 1)))
    owner = await asyncpg.connect(house.owner_url)
    try:
        part = f"charging.entry_{DAY:%Y%m%d}"
        await owner.execute(f"alter table {part} disable trigger history")
        verb = f"delete from {part}" if change == "delete" else f"update {part} {change}"
        await owner.execute(f"{verb} where order_id = 'o2'")
    finally:
        await owner.close()
    with pytest.raises(Altered, match="do not give its root"):
        await assert_proved(house, "o1")
    assert await assert_proved(house, f"o{SIZE}") == [RowKind.ACCEPTANCE]


@pytest.mark.parametrize("place", [3, SIZE // 4, 39, 60])
async def test_groups_that_were_altered_prove_nothing(house: House, place: int) -> None:
    """First leaf and root of the first group and of the second; the last of either is left to the manifest's root."""
    await (await house.worker()).charge(*(accepted(f"o{n}", NOON + timedelta(seconds=n)) for n in range(SIZE + 9)))
    owner = await asyncpg.connect(house.owner_url)
    try:
        await owner.execute("alter table charging.manifest disable trigger history")
        changed = "set_byte(groups, $1, get_byte(groups, $1) # 1)"
        await owner.execute(f"update charging.manifest set groups = {changed}", place)
    finally:
        await owner.close()
    outcomes = []
    for order_id in ("o0", f"o{SIZE + 2}"):
        try:
            outcomes.append(await assert_proved(house, order_id))
        except Altered:
            outcomes.append([])
    assert [] in outcomes


ROWS = entry_of_day("n")


def of_day(*wheres: ColumnElement[bool]) -> tuple[str, list[object]]:
    """A query of rows of DAY, and its parameters."""
    return Command(select(literal(1)).select_from(ROWS).where(*wheres)).bind(partition_of(DAY))


@pytest.mark.parametrize("sealed", [False, True], ids=["open", "sealed"])
async def test_no_question_goes_through_a_whole_part_or_its_whole_key(house: House, sealed: bool) -> None:
    """Plans use the index also without statistics: an open partition was never analysed."""
    await (await house.worker()).charge(*(accepted(f"o{n}", NOON + timedelta(seconds=n)) for n in range(2_000)))
    index = f"entry_{DAY:%Y%m%d}_{{}}".format
    if sealed:
        await house.pool.execute("select charging.seal_partition($1)", DAY)
    queries = {
        "order": ORDER_OF_DAY.bind({"uscc": RIDES, "order_id": "o1", **partition_of(DAY)}),
        "worker": of_day(
            ROWS.c.worker_key == literal_column("bigint '1'"), ROWS.c.accepted_at > datetime(2026, 10, 3, tzinfo=UTC)
        ),
        "batch": of_day(ROWS.c.batch == 1, ROWS.c.leaf_index < 128),
    }
    async with open_query_pool(house.url, PATIENT) as pool, pool.acquire() as connection:
        for name, (sql, parameters) in queries.items():
            plan = await connection.fetch(f"explain {sql}", *parameters)
            reported = "\n".join(row[0] for row in plan)
            assert index(name if sealed else "open") in reported, reported
            assert index("pkey") not in reported, reported


async def test_sealing_again_takes_the_summaries_that_a_reader_held(house: House) -> None:
    await (await house.worker()).charge(accepted("o1"))
    seal, part = "select charging.seal_partition($1)", f"charging.entry_{DAY:%Y%m%d}"
    summaries = f"select to_regclass('{part}_open') is not null"
    async with house.pool.acquire() as reader, reader.transaction():
        await reader.fetch(of_day()[0])
        await house.pool.execute(seal, DAY)
        assert await house.value(summaries)
    await house.pool.execute(seal, DAY)
    assert not await house.value(summaries)
