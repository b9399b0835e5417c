"""Fixtures of all tests, and the choice of the broker they run on."""

import signal
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.workermanage import WorkerController

from tests.support.apache_kafka import ApacheKafka
from tests.support.brokers import NAMED, choose, kind_of, select
from tests.support.hangs import add_tasks
from tests.support.selection import LEFT_OUT, OPTION, SHARES, name_exhaustive, take_share
from tests.support.servers import (
    Broker,
    Kind,
    Postgres,
    client_of,
    drop_database,
    erase_topics,
    kafka_broker,
    make_database,
    may_be_emptied,
    postgres_server,
)
from tests.support.sharing import WholeFiles, count_processes, is_shared, long_ones_first
from tests.support.tools import leave_out, name_left_out


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kafka",
        choices=("embedded", "apache"),
        default="embedded",
        help="broker of the tests; with apache (Java 17, `make test-kafka`) only those that use one are run",
    )
    parser.addoption(
        OPTION,
        choices=SHARES,
        default="all",
        help="which tests: a sample within minutes (`make test`), what it leaves out, or all (`make test-all`)",
    )


def pytest_configure(config: pytest.Config) -> None:
    choose(config)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background; children would ignore it, too
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # How long an example takes says more about what else runs on this machine than about the code.
    settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("unhurried")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    select(config, items)
    take_share(config, items)
    if is_shared(config):
        long_ones_first(items)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    leave_out(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    add_tasks(report, call)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    if is_shared(session.config):
        session.config.workeroutput["left_out"] = session.config.stash.get(LEFT_OUT, 0)  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerController) -> None:
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lacking = name_left_out(terminalreporter.stats.get("skipped", []))
    for sentence in filter(None, (lacking, name_exhaustive(config))):
        terminalreporter.write_line(sentence, yellow=True)


def pytest_xdist_auto_num_workers() -> int:
    return count_processes()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> WholeFiles:
    return WholeFiles(config, log)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL server for the whole run."""
    with postgres_server() as server:
        yield server


@pytest.fixture
async def database(postgres: Postgres) -> AsyncIterator[str]:
    """The owner's URL of a new, empty database, dropped after the test."""
    name = await make_database(postgres)
    yield postgres.url(name)
    await drop_database(postgres, name)


@pytest.fixture
async def platform_database(postgres: Postgres) -> AsyncIterator[str]:
    """The owner's URL of a second one: the national platform is another party."""
    name = await make_database(postgres)
    yield postgres.url(name)
    await drop_database(postgres, name)


@pytest.fixture(scope="session")
def broker_kind(pytestconfig: pytest.Config) -> Kind:
    """Which broker this run is on."""
    return kind_of(pytestconfig)


@pytest.fixture(scope="session")
def broker(broker_kind: Kind, pytestconfig: pytest.Config) -> Iterator[Broker]:
    """One broker for the whole run; a test that uses it takes names that no other test takes."""
    with kafka_broker(broker_kind, pytestconfig.stash[NAMED]) as server:
        yield server


@pytest.fixture(scope="session")
def erased_kafka() -> Iterator[ApacheKafka]:
    """A second Apache Kafka, for tests that empty it one after the other: a new one each time would take too long."""
    with ApacheKafka() as server:
        yield server


@pytest.fixture
async def fresh_broker(broker_kind: Kind, request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    """A broker without a topic, for this test alone."""
    named = request.config.stash[NAMED]
    if broker_kind == "apache" and not named:
        kafka: ApacheKafka = request.getfixturevalue("erased_kafka")
        kafka.restart()  # a test may have killed it
        await erase_topics(client_of(kafka))
        yield kafka
        return
    with kafka_broker(broker_kind, named) as server:
        if not may_be_emptied(server):
            pytest.skip("needs an empty cluster: DANBAO_TEST_ERASE_KAFKA=yes lets the tests erase DANBAO_KAFKA")
        await erase_topics(client_of(server))
        yield server


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder with a space and Chinese characters in its path that other users can pass through.

    (pytest's own folders are closed to the user that runs the database server when the tests run as root.)
    """
    with TemporaryDirectory(prefix="danbao test 单保 ") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
