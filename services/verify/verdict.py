"""What a verification says: one sentence of what was proved, or the step that failed."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.domain.errors import DanbaoError, Refused


class NotProved(DanbaoError):  # noqa: N818 - an outcome, reported as it is
    """`step` names what did not hold, `reason` why."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(f"NOT proved: the {step} does not hold: {reason}")
        self.step = step
        self.reason = reason


@contextmanager
def step(name: str) -> Iterator[None]:
    """What is refused within is a step that failed."""
    try:
        yield
    except Refused as error:
        raise NotProved(name, str(error)) from error
