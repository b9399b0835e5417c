"""The history of `history.py` as the auditor's model lives it: after each stage, every figure that is due."""

from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from aiokafka import TopicPartition

from shared.adapters.files.regions import known_regions
from tests.faults.history import BILLING, LATE_FEES, STAGES, Command, Stage, place
from tests.faults.logs import Logs
from tests.model.model import Model
from tests.model.scheme import read_scheme


@dataclass
class Lived:
    """The model, and the logs that it has read so far."""

    model: Model
    logs: Logs = field(default_factory=Logs)
    read: dict[TopicPartition, int] = field(default_factory=dict)

    def live(self, stage: Stage) -> None:
        """Take in what the stage brings, and do what it commands."""
        place(self.logs, stage.events)
        run = stage.name
        if stage.events:
            self._charge(run)
        if stage.may_settle and self.model.settle(f"settlement {run}"):
            self.model.deliver(f"settlement {run}", 1)
        for remittance in stage.remittances:
            amount = Fraction(Decimal(remittance.amount_yuan))
            self.model.bills.remit(
                remittance.remittance_id, (remittance.enterprise, remittance.province), amount, remittance.received_on
            )
        for command in stage.commands:
            self._obey(command)

    def _charge(self, run: str) -> None:
        new = []
        for place_, records in self.logs.records.items():
            new += records[self.read.get(place_, 0) :]
            self.read[place_] = len(records)
        self.model.take(run, list(new))
        self.model.deliver(run, 1)

    def _obey(self, command: Command) -> None:
        as_of = command.body["as_of"]
        if command == BILLING:
            assert self.model.bill(command.body["period"], datetime.fromisoformat(as_of)) == "issued"
        elif command == LATE_FEES:
            self.model.bills.book_late_fees(date.fromisoformat(as_of))
        elif command.path.endswith("/close"):
            day = date.fromisoformat(command.path.split("/")[3])
            assert self.model.freeze(day, datetime.fromisoformat(as_of)) == "closing"
            self.model.close()


def live_through(scheme: tuple[Path, ...], opened_on: date) -> dict[str, Model]:
    """The model as it is after each stage, by the stage's name."""
    rules = read_scheme(scheme)
    lived = Lived(Model(rules, {line["uscc"] for line in rules.enterprises}, known_regions(), opened_on=opened_on))
    after = {}
    for stage in STAGES:
        lived.live(stage)
        after[stage.name] = deepcopy(lived.model)
    return after
