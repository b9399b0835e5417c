"""The table of rights: its page, and what it must never say."""

from services.charging.ingest.consumer import GROUP
from services.cli.cluster.rights_page import page
from shared.contracts.topic_rights import (
    FIXED,
    LOGINS,
    SERVICES,
    Operation,
    bindings_of,
    enterprise_principal,
    logins_of,
    may,
    rights_of,
)
from shared.contracts.topics import INTERNAL, orders_topic
from tests.tidy.source import ROOT

ONE, OTHER = "91000000FAKE00001F", "91000000FAKE00002J"


def test_the_page_is_the_table() -> None:
    assert (ROOT / "docs" / "kafka-rights.md").read_text() == page(), "danbao kafka rights > docs/kafka-rights.md"


def test_reporting_writes_nothing() -> None:
    assert not FIXED["reporting"].writes


def test_each_internal_topic_has_one_author() -> None:
    for topic in INTERNAL:
        assert len([name for name, rights in FIXED.items() if may(rights, Operation.WRITE, "topic", topic)]) == 1, topic


def test_an_enterprise_writes_its_own_topic_and_nothing_else() -> None:
    bindings = bindings_of(enterprise_principal(ONE), rights_of([ONE, OTHER])[enterprise_principal(ONE)])
    assert {(binding.resource, binding.name, binding.is_prefix, binding.operation) for binding in bindings} == {
        ("topic", orders_topic(ONE), False, Operation.WRITE)
    }


def test_both_logins_of_a_principal_may_do_the_same() -> None:
    for name, rights in rights_of([ONE]).items():
        bindings = bindings_of(name, rights)
        per_login = [{binding[1:] for binding in bindings if binding.login == login} for login in logins_of(name)]
        assert len(per_login) == len(LOGINS)
        assert per_login[0] == per_login[1]
        assert per_login[0]


def test_nobody_but_a_service_reads() -> None:
    for name, rights in rights_of([ONE]).items():
        assert name in SERVICES or not rights.reads


def test_nobody_but_charging_joins_a_group() -> None:
    assert {name: rights.groups for name, rights in rights_of([ONE]).items() if rights.groups} == {"charging": GROUP}
