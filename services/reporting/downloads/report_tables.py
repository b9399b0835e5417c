"""Convert answers to tables for spreadsheets."""

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import BaseModel

from services.reporting.downloads.spreadsheet_cells import Cell, Table
from services.reporting.read_model.responses import Delays, Sheet
from shared.contracts.reports import CoverageReport, DeclarationReport, PaymentReport, RegistrationReport
from shared.domain.scheme.province import PROVINCES

_CODES: Final = ("enterprise", "province")


class Tables:
    """Answers as tables; `enterprises` are their names by USCC."""

    def __init__(self, enterprises: Mapping[str, str]) -> None:
        self._enterprises = enterprises

    def sheet(self, shown: Sheet) -> list[Table]:
        """Every part of a sheet, its own table each."""
        where = shown.where.model_dump()
        workers = shown.participation.model_dump()
        hours = [{"hour": hour, "orders": orders} for hour, orders in enumerate(shown.hours or ())]
        return [
            _table("figures", [where | _row(shown.figures)]),
            _table("before", [where | _row(shown.before)]),
            _table("provinces", [self._named(part) for part in shown.provinces]),
            _table("enterprises", [self._named(part) for part in shown.enterprises]),
            _table("industries", [self._named(part) for part in shown.industries]),
            _table("days", [_row(part) for part in shown.days]),
            _table("reasons", [_row(part) for part in shown.reasons]),
            *([] if shown.delays is None else [_table("delays", _delay_rows(shown.delays))]),
            *([] if shown.hours is None else [_table("hours", hours)]),
            _table("participation", [workers]),
            _table("amendments", [_row(part) for part in shown.amendments]),
        ]

    def statement(
        self, statement: BaseModel, lines: Sequence[BaseModel], paid: Sequence[BaseModel], balances: Sequence[BaseModel]
    ) -> list[Table]:
        """A statement, its lines, what was remitted, and the balance."""
        return [
            _table("statement", [self.row_of(statement)]),
            _table("lines", [_row(line) for line in lines]),
            _table("remittances", [self.row_of(remittance) for remittance in paid]),
            self.balances(balances),
        ]

    def balances(self, balances: Sequence[BaseModel]) -> Table:
        """Money of each enterprise in each province."""
        return _table("balances", [self.row_of(balance) for balance in balances])

    def columns_of(self, kind: type[BaseModel]) -> list[str]:
        """The columns of a document of this kind, with the names next to the codes."""
        named = {name: f"{name}_name" for name in _CODES}
        fields = [field.serialization_alias or name for name, field in kind.model_fields.items()]
        return [column for name in fields for column in (name, named.get(name)) if column is not None]

    def row_of(self, document: BaseModel) -> dict[str, Cell]:
        """A document as a row of such columns."""
        return self._with_names(_row(document))

    def rows(self, name: str, rows: Sequence[Mapping[str, Cell]]) -> Table:
        """Rows that name an enterprise or a province by its code get a column with the name."""
        return _table(name, [self._with_names(row) for row in rows])

    def report(self, report: CoverageReport | RegistrationReport | DeclarationReport | PaymentReport) -> list[Table]:
        """A report as it was sent: what it says once, and each of its lists."""
        document = report.model_dump()
        lists = {name: rows for name, rows in document.items() if isinstance(rows, list)}
        head = {name: value for name, value in document.items() if name not in lists}
        parts = [
            self.rows(name, [row if isinstance(row, dict) else {"worker_id": row} for row in rows])
            for name, rows in lists.items()
        ]
        return [self.rows("report", [head]), *parts]

    def _named(self, part: BaseModel) -> dict[str, Cell]:
        row = _row(part)
        code = row.pop("code")
        return {"code": code, "name": self._name_of(code), **row}

    def _with_names(self, row: Mapping[str, Cell]) -> dict[str, Cell]:
        named: dict[str, Cell] = {}
        for column, value in row.items():
            named[column] = value
            if column in _CODES:
                named[f"{column}_name"] = self._name_of(value)
        return named

    def _name_of(self, code: Cell) -> str:
        key = code if isinstance(code, str) else ""
        known = PROVINCES.get(key)
        return f"{known.chinese} {known.english}" if known else self._enterprises.get(key, "")


def _delay_rows(delays: Delays) -> list[Mapping[str, Cell]]:
    bounds = [*(f"below {bound} s" for bound in delays.bounds_seconds), "longer"]
    return [{"delay": bound, "orders": orders} for bound, orders in zip(bounds, delays.orders, strict=True)]


def _row(part: BaseModel) -> dict[str, Cell]:
    return part.model_dump(by_alias=True)


def _table(name: str, rows: Sequence[Mapping[str, Cell]]) -> Table:
    return Table(name, list(dict.fromkeys(column for row in rows for column in row)), rows)
