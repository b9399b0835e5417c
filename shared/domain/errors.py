"""The one error tree of the project.

    DanbaoError
    ├── Stop              the worker must end: record the error, stop the server, end with a status
    ├── Retry             the same work may succeed later: try again, with a limit and growing pauses
    │   └── WrongAnswer   a service answered, but nothing usable: the requesting work is set aside, others go on
    └── Refused           what was given is wrong, and trying again will not mend it
        ├── Archived      the rows may be archived; the message says how they come back
        ├── RefusedLine   a line of a data file is wrong: the message begins with `file:line: `
        └── RefusedValue  a value that no column of the database takes

The names say what is to be done about it, which a suffix "Error" would only lengthen.

Expected outcomes (a charge, an exclusion, a parked event, a repeat) are values and not errors.
The message of every error is one line that a person can act on.
"""


class DanbaoError(Exception):
    """Root of the tree; never raised itself."""


class Stop(DanbaoError):  # noqa: N818 - named by what its catcher has to do
    """Going on would damage the books; the process ends and starts again from what is committed."""


class Retry(DanbaoError):  # noqa: N818 - named by what its catcher has to do
    """Nothing was changed, and the cause is expected to pass (a server away, a lock, a time-out)."""


class WrongAnswer(Retry):
    """Another service answered a question with what is no answer to it; a later answer may be one."""


class Refused(DanbaoError):  # noqa: N818 - named by what its catcher has to do
    """A request, a file or an argument is wrong; the message says what and where."""


class Archived(Refused):
    """The requested rows may be archived; the message says how they are restored."""


class RefusedLine(Refused):
    """A line of a data file is wrong. `line` counts from 1, the header's; 0 means the file as a whole."""

    def __init__(self, file: str, line: int, reason: str) -> None:
        super().__init__(f"{file}:{line}: {reason}")
        self.file = file
        self.line = line
        self.reason = reason


class RefusedValue(Refused):
    """A value is out of the range of its column; the message does not repeat it."""
