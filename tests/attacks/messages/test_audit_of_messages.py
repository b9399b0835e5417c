"""The audit fails on what strangers leave behind: booked runs of nobody, swallowed and quarantined messages."""

from typing import Final

import asyncpg
import pytest

from services.audit.run import audit_all
from services.demo.demo import audit_sources
from tests.e2e.conftest import Month

pytestmark = pytest.mark.exhaustive

STRANGER: Final = "f" * 32
CASES: Final = {
    "a booked run that charging does not know": (
        f"""insert into ledger.manifest_booked (run, number, kind, leaves, root, content_sha256)
        values ('{STRANGER}', 1, 'orders', 0, repeat('0', 64), decode(repeat('00', 32), 'hex'))""",
        f"delete from ledger.manifest_booked where run = '{STRANGER}'",
        f"ledger.manifest_booked {STRANGER}/1: charging has no such run",
    ),
    "a remittance that only reporting has": (
        """insert into reporting.remittance values ('swallowed', '44', '91110000TESTTEST1X', 100, '2026-11-13',
        now() - interval '1 day')""",
        "delete from reporting.remittance where remittance_id = 'swallowed'",
        "remittance swallowed: reporting has it, the ledger has not booked it",
    ),
    "a remittance that only the ledger has": (
        """insert into ledger.remittance values ('swallowed', '91110000TESTTEST1X', '44', 100, '2026-11-13',
        decode(repeat('00', 32), 'hex'), now() - interval '1 day')""",
        "delete from ledger.remittance where remittance_id = 'swallowed'",
        "remittance swallowed: the ledger has booked it, reporting does not have it",
    ),
    **{
        f"a message quarantined at {schema}": (
            f"""insert into {schema}.refused_message (topic, reason, detail, sha256, bytes, redacted, sealed,
            sealed_on, recorded_at) values ('t', 'undecodable', 'd', sha256('hello'), 5, '', '', now(), now())""",
            f"delete from {schema}.refused_message where topic = 't'",
            "t: undecodable: not reviewed",
        )
        for schema in ("charging", "ledger", "reporting")
    },
}


@pytest.mark.parametrize("name", CASES)
async def test_the_audit_fails_on(month: Month, name: str) -> None:
    spoil, mend, said = CASES[name]
    owner = await asyncpg.connect(month.system.variables["DANBAO_DATABASE"])
    try:
        await owner.execute("set session_replication_role = replica")
        await owner.execute(spoil)
        verdict = await audit_all(audit_sources(month.system))
        findings = [line for check in verdict.checks for line in check.findings]
        assert any(said in line for line in findings), findings
    finally:
        await owner.execute(mend)
        await owner.close()
