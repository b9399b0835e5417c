"""Lists the exit statuses of `danbao`, and what each means.

0    done
1    the requested work failed: an audit found something, a day was refused, documents differ
2    wrong use or bad input; nothing was started or changed
69   something needed does not answer: a service, the database, the broker
70   an internal error, reported with the state directory and its logs
130  stopped by Ctrl-C (SIGINT)
143  stopped by SIGTERM
"""

from enum import IntEnum

from shared.domain.errors import DanbaoError


class Exit(IntEnum):
    """Exit statuses; 69 and 70 are those of sysexits.h, 130 and 143 those of a shell."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNAVAILABLE = 69
    SOFTWARE = 70
    INTERRUPTED = 130
    TERMINATED = 143


class CommandFailed(DanbaoError):  # noqa: N818 - like the rest of the tree, the name says what happened
    """The requested work could not be done; `status` is what the command ends with. One line for a person."""

    status = Exit.FAILED


class Unavailable(CommandFailed):
    """Something needed does not answer."""

    status = Exit.UNAVAILABLE


class OutOfOrder(CommandFailed):
    """An internal error: a process of the project failed."""

    status = Exit.SOFTWARE


class Terminated(CommandFailed):
    """The process ends because of SIGTERM."""

    status = Exit.TERMINATED
