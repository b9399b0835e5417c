"""`python -m benchmarks [ROW ...] [--json] [--short]` (`make bench`): measures rows of the table of targets."""

import argparse
import json
import sys

from benchmarks import suite
from benchmarks.table import as_text
from shared.runtime.observability import configure_logging


def main() -> int:
    """Measure on the embedded parts, and compare every figure with its target (docs/performance.md)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="ROW", help="rows to measure; all of them without a name")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--short", action="store_true", help="a minute or so, ratios only; 1 when one does not hold")
    parser.add_argument("--rounds", type=_at_least_one, default=1, help="measure each row so often; gives its spread")
    arguments = parser.parse_args()
    configure_logging("bench", "warning")  # the close and the billing in this process would log to standard output
    try:
        rows, about = suite.run(arguments.names, is_short=arguments.short, rounds=arguments.rounds)
    except suite.UnknownRowError as error:
        parser.error(str(error))
    print(json.dumps({"rows": [row.as_json() for row in rows], "about": about}) if arguments.json else as_text(rows))
    for name, why in about["failures"].items():
        print(f"{name} could not be measured: {why}", file=sys.stderr)
    return int(bool(about["failures"]) or (arguments.short and not all(row.holds for row in rows)))


def _at_least_one(text: str) -> int:
    """Parse the number of rounds."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rounds")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
