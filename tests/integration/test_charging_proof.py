"""The proof of an order: every row of it leads to the root of its batch, or no proof is given."""

from datetime import timedelta

import asyncpg
import pytest

from services.charging.proof import Altered, Proofs, read_leaves
from shared.domain.calendar import insured_day
from shared.domain.leaf import RowKind
from shared.domain.merkle import leaf_hash, verify_inclusion
from tests.integration.charging_house import NOON, RIDES, House, accepted, cancelled, completed, declared
from tests.integration.test_charging_evidence import of_every_kind, stored_leaves

DAY = insured_day(NOON)


async def test_the_leaves_worked_out_in_the_database_are_those_of_the_domain(house: House) -> None:
    one = await house.worker()
    await one.charge(*of_every_kind("a"))
    again = [accepted("a1", token_key=9), declared("ad", orders=5), cancelled("a5", reason="worker")]
    await one.charge(*of_every_kind("a"), *again, *of_every_kind("b"), completed("z", NOON - timedelta(days=2)))
    await one.settle()
    for (batch,) in await house.fetch("select batch from charging.manifest"):
        async with house.pool.acquire() as connection:
            _, hashes = await read_leaves(connection, batch)
        assert hashes == await stored_leaves(house, batch)


@pytest.mark.parametrize("sealed", [False, True], ids=["open", "sealed"])
async def test_every_row_of_an_order_is_proved_to_its_manifest(house: House, sealed: bool) -> None:
    one = await house.worker()
    await one.charge(*(accepted(f"o{number}") for number in range(9)), *of_every_kind("a"))
    await one.charge(cancelled("o5"), accepted("x"))
    await one.settle()
    if sealed:
        await house.pool.execute("select charging.seal_part($1)", DAY)
    found = await Proofs(house.pool).order(RIDES, "o5", DAY)
    assert [row.kind for row in found] == [RowKind.ACCEPTANCE, RowKind.CANCELLATION, RowKind.REVERSAL]
    for row in found:
        root = bytes.fromhex(row.manifest.root)
        assert verify_inclusion(leaf_hash(row.content), row.rank, row.manifest.leaves, row.proof, root)
    assert len({(row.manifest.run, row.manifest.number) for row in found}) == 3


async def test_an_order_that_is_not_there_has_no_proof(house: House) -> None:
    one = await house.worker()
    await one.charge(accepted("o1"))
    assert await Proofs(house.pool).order(RIDES, "o2", DAY) == []
    assert await Proofs(house.pool).order(RIDES, "o1", DAY + timedelta(days=1)) == []


@pytest.mark.parametrize("change", ["set premium = premium + 1", "set received = sha256('')", "delete"])
async def test_no_proof_is_given_of_a_batch_of_which_another_row_was_altered(house: House, change: str) -> None:
    one = await house.worker()
    await one.charge(accepted("o1"), accepted("o2"))
    owner = await asyncpg.connect(house.owner_url)
    try:
        part = f"charging.entry_{DAY:%Y%m%d}"
        await owner.execute(f"alter table {part} disable trigger history")
        verb = f"delete from {part}" if change == "delete" else f"update {part} {change}"
        await owner.execute(f"{verb} where order_id = 'o2'")
    finally:
        await owner.close()
    with pytest.raises(Altered, match="do not give its root"):
        await Proofs(house.pool).order(RIDES, "o1", DAY)
