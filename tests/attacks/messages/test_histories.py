"""A log whose owner, with its real key, shows another history: to the witness, or to a party that he keeps apart.

The witness notices at the next checkpoint; a party that kept a checkpoint or a copy notices at its next check.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.audit.books.evidence_log import Views, check_log
from services.audit.facts import Facts
from services.audit.verdict import Verdict
from services.ledger.log.checkpoints import InconsistentError
from services.verify.keys import Keys
from services.verify.log import verify_log
from services.verify.verdict import NotProved
from shared.adapters.postgres.pool import open_pool
from shared.domain.evidence import merkle
from shared.domain.evidence.checkpoint import Checkpoint
from tests.domain.test_verify_log import entries_of, note_of, write_log
from tests.integration.charging.charging_harness import NOON, demo_scheme
from tests.integration.ledger.ledger_harness import open_ledger
from tests.integration.ledger.log_harness import LogHouse, alter_entry, fill, forge, open_log_house
from tests.support.authors import AUTHORS
from tests.support.receipt_cases import LOG_KEY, ORIGIN, WITNESS_KEY, sign

KEYS = Keys((LOG_KEY,), (WITNESS_KEY,), AUTHORS)
SIZE = 300
ALTERED = alter_entry(1)
CUT_OFF = "delete from ledger.log_entry where index >= 3"
FORGET = ("delete from ledger.cosignature", "delete from ledger.checkpoint")


async def audited(database: str, platform_database: str) -> set[str]:
    """What the audit says of log, checkpoints and witness: the things it names."""
    verdict, facts = Verdict(), Facts(demo_scheme(), NOON.date(), {}, {}, [], {})
    async with open_pool(database, size=2) as pool, open_pool(platform_database, size=1) as theirs:
        async with pool.acquire() as ours, pool.acquire() as later, theirs.acquire() as platform:
            await check_log(Views(ours, platform, later), facts, verdict, None, AUTHORS)
    return {finding.partition(",")[0].partition(":")[0] for check in verdict.checks for finding in check.findings}


@pytest.fixture
async def house(database: str, platform_database: str, tmp_path: Path) -> AsyncIterator[LogHouse]:
    """A log of 5 entries that the witness has cosigned."""
    async with open_ledger(database) as ledger, open_log_house(ledger, platform_database, tmp_path) as opened:
        await fill(ledger, 5)
        await opened.sign()
        assert await opened.cosign() == "cosigned"
        yield opened


async def test_the_ledger_itself_does_not_sign_over_what_was_changed(
    house: LogHouse, database: str, platform_database: str
) -> None:
    """At the next checkpoint, with an alarm: the attacker has to take the signed ones away as well."""
    assert await audited(database, platform_database) == set()
    await forge(house.ledger, ALTERED)
    assert {"ledger.checkpoint 5", "national_platform.witnessed 5"} <= await audited(database, platform_database)
    await fill(house.ledger, 7)
    with pytest.raises(InconsistentError):
        await house.sign()
    assert any("inconsistent" in alarm for alarm in await house.alarms())


@pytest.mark.parametrize(
    ("change", "grown_to", "reason"),
    [(ALTERED, 7, "not_consistent"), (ALTERED, 5, "forked"), (CUT_OFF, 3, "smaller")],
    ids=["longer", "of the same size", "shorter"],
)
async def test_a_checkpoint_signed_anew_over_another_history(
    house: LogHouse, database: str, platform_database: str, change: str, grown_to: int, reason: str
) -> None:
    """The witness refuses it at once, keeps the signed proof, and nobody is shown a checkpoint without its line.

    The audit names what was cosigned and is not in the log any more, regardless of later signatures.
    """
    for statement in (change, *FORGET):
        await forge(house.ledger, statement)
    await fill(house.ledger, grown_to)
    await house.sign()
    assert await house.cosign() == "refused"
    (alarm,) = await house.witness_alarms()
    assert alarm.startswith(f"log {reason}:")
    async with house.api() as api:
        assert (await api.get("/log/checkpoint")).status_code == 404
    named = {"national_platform.witnessed 5", "national_platform.witness_alarm 1"}
    assert named <= await audited(database, platform_database)


def refused_step(folder: Path, older: bytes | None, keys: Keys = KEYS) -> str:
    with pytest.raises(NotProved) as failed:
        verify_log(folder, keys, older)
    return failed.value.step


def test_two_histories_shown_to_two_parties(tmp_path: Path) -> None:
    """The second is not cosigned; and without any witness the two need only compare what they were shown."""
    ours, theirs = entries_of(SIZE), [*entries_of(SIZE - 1), *entries_of(SIZE, b"x")[-1:]]
    first, second = write_log(tmp_path / "first", ours), write_log(tmp_path / "second", theirs)
    checkpoint = Checkpoint(ORIGIN, SIZE, merkle.root([merkle.leaf_hash(their) for their in theirs]))
    (second / "checkpoint").write_bytes(sign(checkpoint, is_witnessed=False))
    assert refused_step(second, None) == "cosignature of the witness"
    alone = Keys((LOG_KEY,), (), AUTHORS)
    assert verify_log(second, alone, None).startswith("Proved"), "with the log's signature alone it seems sound"
    for folder, other in ((first, second), (second, first)):
        assert refused_step(folder, (other / "checkpoint").read_bytes(), alone) == "older checkpoint"


@pytest.mark.parametrize("copied", [SIZE // 2, SIZE])
def test_a_copied_log_outlives_what_the_log_and_its_witness_take_back_together(tmp_path: Path, copied: int) -> None:
    """Both keys are used: only a party that kept a checkpoint detects it, at any later time."""
    kept = note_of(entries_of(SIZE), copied)
    folder = write_log(tmp_path, entries_of(SIZE + 9, b"x"))
    assert verify_log(folder, KEYS, None).startswith("Proved")
    assert refused_step(folder, kept) == "older checkpoint"


def test_a_batch_withheld_from_the_log(tmp_path: Path) -> None:
    """Numbers of a run have no gaps: a party that copies the log notices at the next checkpoint.

    The last batch of a run leaves no gap: `test_database.py` has who notices that.
    """
    entries = entries_of(SIZE)
    del entries[100]
    assert refused_step(write_log(tmp_path, entries), None) == "tile/entries/000"
