"""The auditor's scheme: its own reading of the data files, and what one order costs by them.

A second implementation, slow and obvious on purpose. It shares nothing with the services but the contracts.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path

SHANGHAI = timezone(timedelta(hours=8))
Line = dict[str, str]


def day_of(instant: datetime) -> date:
    """The date in Asia/Shanghai."""
    return instant.astimezone(SHANGHAI).date()


def midnight(day: date) -> datetime:
    """When the day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=SHANGHAI)


def instant(text: str) -> datetime:
    """An instant of a data file: a date is its midnight."""
    return datetime.fromisoformat(text) if "T" in text else midnight(date.fromisoformat(text))


@dataclass
class ModelScheme:
    """The lines of the files as they were read."""

    provinces: list[Line]
    enterprises: list[Line]
    enrolments: list[Line]
    tariff: list[Line]
    rules: list[Line]
    presumptions: list[Line]
    keys: list[Line]

    def rate(self, uscc: str, province: str, industry: str, at: datetime, is_employee: bool) -> tuple[str, str, str]:
        """Outcome, reason and number of the tariff line; "" for none; the outcome "uncovered" is to be parked."""
        if not any(row["code"] == province and instant(row["joined_on"]) <= at for row in self.provinces):
            return "excluded", "province_not_in_pilot", ""
        if not any(self._enrols(enrolment, uscc, province, industry, at) for enrolment in self.enrolments):
            return "excluded", "enterprise_not_enrolled", ""
        if is_employee:
            return "excluded", "insured_as_employee", ""
        for wanted in (uscc, ""):  # a line that names the enterprise goes before one that names none
            for line in self.tariff:
                place = (line["province"], line["industry"], line["enterprise"])
                if place == (province, industry, wanted) and self._holds(line, at):
                    return "charged", "", line["number"]
        return "uncovered", "", ""

    def base(self, number: str) -> Fraction:
        """Yuan an order under a tariff line."""
        return next(Fraction(line["base_yuan"]) for line in self.tariff if line["number"] == number)

    def takes_back(self, accepted_at: datetime, cancelled_at: datetime, departed: bool) -> bool:
        """Whether the rule in force when the order was accepted reverses its charge."""
        held = [rule for rule in self.rules if instant(rule["valid_from"]) <= accepted_at]
        rule = max(held, key=lambda each: instant(each["valid_from"]))
        if rule["mode"] == "charge_all_accepted":
            return False
        if rule["mode"] == "reverse_all_cancelled":
            return True
        return not departed and cancelled_at - accepted_at < timedelta(seconds=int(rule["elapsed_seconds"]))

    def assesses(self, province: str, day: date) -> bool:
        """Whether missing numbers of a day are charged in the province: its own rule goes before that for any."""
        for wanted in (province, "*"):
            held = [
                rule
                for rule in self.presumptions
                if rule["province"] == wanted and instant(rule["valid_from"]) <= midnight(day)
            ]
            if held:
                return max(held, key=lambda each: instant(each["valid_from"]))["mode"] == "assess"
        return False

    def _enrols(self, one: Line, uscc: str, province: str, industry: str, at: datetime) -> bool:
        if one["uscc"] != uscc or one["industry"] != industry or one["province"] not in {"*", province}:
            return False
        return instant(one["enrolled_from"]) <= at and (not one["enrolled_to"] or at < instant(one["enrolled_to"]))

    def _holds(self, line: Line, at: datetime) -> bool:
        place = (line["province"], line["industry"], line["enterprise"])
        later = [
            instant(other["valid_from"])
            for other in self.tariff
            if (other["province"], other["industry"], other["enterprise"]) == place
            and instant(other["valid_from"]) > instant(line["valid_from"])
        ]
        ends = [instant(line["valid_to"])] if line["valid_to"] else sorted(later)[:1]
        return instant(line["valid_from"]) <= at and all(at < end for end in ends)


def read_scheme(directories: Iterable[Path]) -> ModelScheme:
    """Every file of the directories."""
    places = list(directories)

    def read(pattern: str) -> list[Line]:
        files = [file for place in places for file in sorted(place.glob(pattern))]
        return [dict(line) for file in files for line in csv.DictReader(file.read_text("utf-8-sig").splitlines())]

    names = ("provinces", "enterprises", "enrolment*", "tariff-*", "cancellation", "presumption", "enterprise-keys*")
    return ModelScheme(*(read(f"{name}.csv") for name in names))
