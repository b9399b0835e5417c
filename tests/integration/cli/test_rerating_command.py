"""`danbao rerate` against a charging that was restarted on corrected files."""

import re
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.cli.operations.decisions import print_decisions, read_decisions
from services.cli.operations.rerating import Wish, print_rerating, rerate_days
from shared.runtime.command_settings import CommandSettings
from shared.runtime.exits import CommandFailed
from tests.integration.charging.charging_harness import RIDES, House, accepted
from tests.integration.charging.charging_service import KEY, Field, Process, open_field
from tests.integration.charging.rerating_harness import DECISION, corrected
from tests.support.authors import person_variables
from tests.support.servers import Broker, client_settings

pytestmark = pytest.mark.exhaustive


@pytest.fixture
async def field(house: House, fresh_broker: Broker) -> AsyncIterator[Field]:
    async with open_field(house, client_settings(fresh_broker)) as opened:
        await opened.make_topics(RIDES)
        yield opened


def settings_of(worker: Process) -> CommandSettings:
    files = person_variables(worker.log.parent)
    return CommandSettings(
        charging_url=str(worker.api.base_url),
        charging_key=SecretStr(KEY),
        vkeys=Path(files["DANBAO_VKEYS"]),
        person_key=Path(files["DANBAO_PERSON_KEY"]),
    )


def wish(*, is_booked: bool, enterprise: str = "", last: date = date(2026, 10, 5)) -> Wish:
    return Wish(date(2026, 10, 1), last, enterprise, "", is_booked)


async def test_shown_then_booked_then_nothing(field: Field, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with field.worker() as before:
        await field.send(*(accepted(f"o{n}") for n in range(3)))
        await field.has_counted(3)
        assert (await rerate_days(settings_of(before), wish(is_booked=False)))["differences"] == []
    scheme = ":".join(map(str, corrected(tmp_path, DECISION).directories))
    async with field.worker(SCHEME=scheme) as worker:
        settings = settings_of(worker)
        shown = await rerate_days(settings, wish(is_booked=False))
        (difference,) = shown["differences"]
        assert (difference["orders"], difference["difference_yuan"], shown["booked"]) == (3, "0.0069", 0)
        print_rerating(shown, wish(is_booked=False))
        assert "difference 0.0069 yuan; nothing was booked" in capsys.readouterr().out
        booked = await rerate_days(settings, wish(is_booked=True, enterprise=RIDES))
        assert (booked["differences"], booked["booked"], booked["manifests"]) == (shown["differences"], 3, 1)
        print_rerating(booked, wish(is_booked=True))
        assert "3 orders corrected in 1 manifests" in capsys.readouterr().out
        decisions = (await read_decisions(settings, "charging", 0, 10))["decisions"]
        print_decisions(decisions)
        assert re.search(r"operator +POST /v1/rerate +.*2026-10-0", capsys.readouterr().out)
        again = await rerate_days(settings, wish(is_booked=True))
        assert (again["differences"], again["booked"]) == ([], 0)
        (correction,) = await field.house.corrections()
        decided = "select person from charging.decision join charging.run using (decision_id) where run = $1"
        assert await field.house.value(decided, correction.run) == "operator"
        status = await worker.get("/v1/status")
        assert status["runs"][correction.run] == 1
        assert "danbao_charging_rerated_total 3.0" in (await worker.api.get("/metrics")).text
        nonsense = [{}, {"first_on": "x", "last_on": "y"}, {"first_on": "2026-10-01", "last_on": "2026-10-02", "a": 1}]
        assert [(await worker.api.post("/v1/rerate", json=body)).status_code for body in nonsense] == [422] * 3
        backwards = {"first_on": "2026-10-02", "last_on": "2026-10-01"}
        assert (await worker.api.post("/v1/rerate", json=backwards)).status_code == 409


async def test_nothing_is_booked_where_a_line_is_missing(field: Field, tmp_path: Path) -> None:
    async with field.worker():
        await field.send(accepted("o1"))
        await field.has_counted(1)
    scheme = ":".join(map(str, corrected(tmp_path, without="234,44,ride_hailing").directories))
    async with field.worker(SCHEME=scheme) as worker:
        with pytest.raises(CommandFailed, match="nothing was booked: no tariff line holds for ride_hailing"):
            await rerate_days(settings_of(worker), wish(is_booked=True))
        body = {"first_on": "2026-10-01", "last_on": "2026-10-05", "apply": True}
        assert (await worker.api.post("/v1/rerate", json=body)).status_code == 409
    assert await field.house.corrections() == []
