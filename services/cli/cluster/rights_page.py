"""Render the table of rights as docs/kafka-rights.md."""

from collections.abc import Iterable
from typing import Final

from shared.contracts.topic_rights import (
    FIXED,
    INTERNAL_MESSAGE_BYTES,
    LOGINS,
    ORDER_MESSAGE_BYTES,
    SUPER_USERS,
    Rights,
    Topics,
    rights_of,
)

EXAMPLE: Final = "USCC"
HEAD: Final = """\
# Who may do what on Kafka

Written by `danbao kafka rights` from `shared/contracts/topic_rights.py`: change the table there. `danbao kafka setup`
makes the ACLs, quotas and logins of it, and `tests/attacks/kafka/test_kafka_rights.py` checks
every cell on Apache Kafka.

What is not listed is refused: nobody but the super users creates, alters or deletes anything, resets another group's
offsets, or has a transactional id. Reading or writing a topic includes describing it.

| principal | reads | writes | groups | produces at most | broker's time at most |
|---|---|---|---|---|---|
"""


def page() -> str:
    """Render the whole page."""
    table = {**FIXED, "enterprise-<USCC>": rights_of([EXAMPLE])[f"enterprise-{EXAMPLE}"]}
    return HEAD + "".join(_row(name, rights) for name, rights in table.items()) + _foot()


def _row(name: str, rights: Rights) -> str:
    groups = f"`{rights.groups}*`" if rights.groups else "none"
    rate = f"{rights.produces_bytes // 1024 // 1024} MiB/s" if rights.writes else "nothing"
    cells = (f"`{name}`", _named(rights.reads), _named(rights.writes), groups, rate, f"{rights.request_percent} %")
    return f"| {' | '.join(cells)} |\n"


def _named(topics: Iterable[Topics]) -> str:
    names = [f"`{topic.name.replace(EXAMPLE, '<USCC>')}{'*' if topic.is_prefix else ''}`" for topic in topics]
    return ", ".join(names) or "nothing"


def _foot() -> str:
    readers = ", ".join(f"`{name}`" for name, rights in FIXED.items() if rights.asks_settings_of)
    return (
        f"\n{readers} may also read the settings of the topics `orders.v1.*`. Each principal has the logins "
        f"`<principal>-{LOGINS[0]}` and `<principal>-{LOGINS[1]}`\nof equal rights. Super users, for the broker itself "
        f"and the setup job only: {', '.join(f'`{name}`' for name in SUPER_USERS)}.\nA batch of records is at most "
        f"{ORDER_MESSAGE_BYTES // 1024 // 1024} MiB on an orders topic, {INTERNAL_MESSAGE_BYTES // 1024 // 1024} MiB "
        "on the others.\n"
    )
