"""Print a table as wide as its cells: in a pipe and on a narrow terminal no id or amount is cut or broken."""

from typing import Final

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

_UNBOUNDED: Final = 1_000_000


def print_wide(table: Table) -> None:
    """Print a line for each row; a terminal that is narrower goes on in its next line."""
    console = Console(markup=False, highlight=False)
    needed = Measurement.get(console, console.options.update(width=_UNBOUNDED), table).maximum
    console.width = max(needed, 1)
    console.print(table, crop=False)
