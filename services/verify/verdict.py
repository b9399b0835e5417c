"""Report a verification: one sentence of what was proved, or the step that failed."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.domain.errors import DanbaoError, Refused


class NotProved(DanbaoError):  # noqa: N818 - an outcome, reported as it is
    """`step` names the failed step, `reason` says why it failed."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(f"NOT proved: the {step} does not hold: {reason}")
        self.step = step
        self.reason = reason


@contextmanager
def step(name: str) -> Iterator[None]:
    """Turn a `Refused` raised inside into `NotProved` for this step."""
    try:
        yield
    except Refused as error:
        raise NotProved(name, str(error)) from error
