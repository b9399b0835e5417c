"""The log that a whole month wrote: copied over HTTP by the command, read by tools that nobody here wrote."""

import json
import subprocess
from pathlib import Path

import pytest

from shared.adapters.files.vkeys import read_vkeys
from shared.domain.evidence.signed_note import ED25519
from tests.e2e.conftest import Month
from tests.e2e.processes import run
from tests.foreign.go_program import build
from tests.support.tools import needs

pytestmark = pytest.mark.exhaustive


@needs("go")
def test_foreign_tools_read_the_log_of_a_month(month: Month, tmp_path: Path) -> None:
    settings, folder = month.system.settings, tmp_path / "log"
    assert settings.vkeys is not None
    keys = {key.kind == ED25519: key for key in read_vkeys(settings.vkeys)}
    prefix = f"{settings.ledger_url}/log"
    status, out, err = run("log", "export", str(folder), "--url", prefix, "--json", temporary=tmp_path)
    assert (status, err) == (0, "")
    size = json.loads(out)["size"]
    log = month.summary.log
    assert log["entries"] == log["signed"] == log["cosigned"]
    assert size >= log["entries"] > 31  # at least a batch a day
    assert log["witness"] == keys[False].name
    question = {"origin": keys[True].name, "log_vkey": str(keys[True]), "witness_vkey": str(keys[False])}
    program = build(tmp_path)
    reported = subprocess.run(
        [program, folder], input=json.dumps(question), capture_output=True, text=True, check=False
    )
    assert reported.returncode == 0, reported.stdout
    assert "fsck: passed" in reported.stdout


async def test_the_national_platform_witnessed_it_without_an_alarm(month: Month) -> None:
    status = await month.system.apis.national_platform.get("/v1/status")
    assert status["witnessed"].keys() == {month.system.settings.log_origin}
    assert status["witnessed"][month.system.settings.log_origin] >= month.summary.log["cosigned"]
    assert not [alarm for alarm in status["alarms"] if alarm.startswith("log ")]
