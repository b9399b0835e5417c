"""`danbao adjustment` against a running charging: two persons with separate keys."""

import json
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.cli.operations.adjustments import consent_to, print_adjustments, propose_adjustment, read_adjustments
from shared.adapters.crypto.signing import AuthorSigner
from shared.runtime.command_settings import CommandSettings
from shared.runtime.exits import CommandFailed
from tests.attacks.messages.test_outside_declaration import FIRST, NOON, declared
from tests.integration.charging.charging_harness import RIDES, House, accepted, worker
from tests.integration.charging.charging_service import KEY, Field, Process, open_field
from tests.support.authors import BOB, OPERATOR, person_variables
from tests.support.servers import Broker, client_settings


@pytest.fixture
async def field(house: House, fresh_broker: Broker) -> AsyncIterator[Field]:
    async with open_field(house, client_settings(fresh_broker)) as opened:
        await opened.make_topics(RIDES)
        yield opened


def settings_of(charging: Process, person: AuthorSigner | None) -> CommandSettings:
    files = person_variables(charging.log.parent, person or OPERATOR)
    return CommandSettings(
        charging_url=str(charging.api.base_url),
        charging_key=SecretStr(KEY),
        vkeys=Path(files["DANBAO_VKEYS"]),
        person_key=Path(files["DANBAO_PERSON_KEY"]) if person else None,
    )


async def test_one_proposes_another_consents(field: Field, capsys: pytest.CaptureFixture[str]) -> None:
    house = field.house
    one = await house.worker()
    orders = [accepted(f"o{n}", NOON + timedelta(seconds=n), sequence=n, worker_id=worker(n)) for n in (1, 2, 3)]
    await one.charge(*orders, declared("d1", [(1, 1)], 1))
    await house.close(str(FIRST))
    wish = {"enterprise": RIDES, "day": str(FIRST), "reason": "the enterprise knows nothing of them"}
    async with field.worker() as charging:
        operator, bob = settings_of(charging, OPERATOR), settings_of(charging, BOB)
        nobody = settings_of(charging, None)
        with pytest.raises(CommandFailed, match="needs a person"):
            await propose_adjustment(nobody, wish)
        with pytest.raises(CommandFailed, match="not counted yet"):
            await propose_adjustment(operator, wish | {"day": str(date(2027, 2, 1))})
        proposal = await propose_adjustment(operator, wish)
        assert (proposal["orders"], proposal["premium_yuan"], proposal["proposed_by"]) == (2, "0.02", "operator")
        with pytest.raises(CommandFailed, match="another person has to consent"):
            await consent_to(operator, proposal["id"])
        with pytest.raises(CommandFailed, match="404"):
            await consent_to(bob, 999)
        decided = await consent_to(bob, proposal["id"])
        assert (decided["consented_by"], decided["reversed"], decided["manifests"]) == ("bob", 2, 1)
        assert (await consent_to(bob, proposal["id"]))["reversed"] == 0
        listed = await read_adjustments(nobody, RIDES)
        assert json.loads(json.dumps(listed["adjustments"])) == [
            {name: value for name, value in decided.items() if name != "reversed"}
        ]
        print_adjustments(listed["adjustments"])
        assert "the enterprise knows nothing of them" in capsys.readouterr().out
    (correction,) = await house.corrections()
    assert [(total.outcome, total.reason, total.orders) for total in correction.totals] == [
        ("reversed", "outside_declaration", 2)
    ]
    assert await house.value("select string_agg(person, ',' order by decision_id) from charging.decision") == (
        "operator,operator,operator,bob,bob,bob"
    )
