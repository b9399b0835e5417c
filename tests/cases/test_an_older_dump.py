"""A ledger that was restored to an older dump is refused by the witness, and goes on as another log."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from tests.integration.ledger.ledger_harness import open_ledger
from tests.integration.ledger.log_harness import LogHouse, fill, forge, log_signer, open_log_house


@pytest.fixture
async def house(database: str, platform_database: str, tmp_path: Path) -> AsyncIterator[LogHouse]:
    """A ledger with its log, and a witness."""
    async with open_ledger(database) as ledger, open_log_house(ledger, platform_database, tmp_path) as opened:
        yield opened


async def test_a_new_origin_is_the_way_out_and_the_fault_is_logged_once(house: LogHouse, tmp_path: Path) -> None:
    """Found with containers: no way out was described, and the fault was logged 45 times a minute."""
    await fill(house.ledger, 5)
    await house.sign()
    await house.cosign()
    for table in ("cosignature", "checkpoint"):
        await forge(house.ledger, f"delete from ledger.{table}")
    for table, rest in (("log_entry", "index >= 3"), ("manifest_booked", "run >= lpad('3', 32, '0')")):
        await forge(house.ledger, f"delete from ledger.{table} where {rest}")
    await house.sign()
    with structlog.testing.capture_logs() as logs:
        assert [await house.cosign() for _ in range(3)] == ["refused"] * 3
    assert [entry["event"] for entry in logs].count("log_fault") == 1
    await fill(house.ledger, 4)
    origin = "log.example/test-2"
    renamed = replace(house.keys, origin=origin, signers=(log_signer(tmp_path, origin=origin),))
    other = replace(house, keys=renamed)
    await other.sign()
    known = (*(signer.verifier for signer in (*house.keys.signers, *renamed.signers)),)
    assert await other.cosign(*known) == "cosigned"
    assert await house.alarms() == []
