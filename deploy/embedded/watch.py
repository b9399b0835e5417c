"""Signal one process when standard input ends: `python watch.py PID SIGNAL`.

Started with a child where the system has no parent-death signal. The parent holds the other end of standard input,
and the system closes it however the parent dies. A byte instead says that the child ended before.
"""

import contextlib
import os
import sys


def main(pid: int, number: int) -> None:
    """Block until the parent writes or is gone; then signal `pid` in the second case."""
    if not os.read(0, 1):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
