"""Every topic of any enterprise belongs to one deployment; a file that would leave that open is refused."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.topics import orders_topic
from shared.domain.errors import Refused
from shared.runtime.deployments import Deployment, Deployments, load_deployments
from shared.runtime.settings import Settings

USCC = st.text("0123456789ABC", min_size=18, max_size=18)
FIRST, SECOND = "91000000FAKE00001F", "91000000FAKE00002J"


def write(folder: Path, *tables: str) -> Settings:
    file = folder / "deployments.toml"
    file.write_text("\n".join(f"[[deployment]]\n{table}" for table in tables))
    return Settings(deployments=file)


EAST = 'name = "charging"\nurl = "http://east:8101"'
WEST = f'name = "west"\nurl = "http://west:8101"\nenterprises = ["{FIRST}"]'


def test_without_a_file_one_deployment_reads_all() -> None:
    (alone,) = deployments = load_deployments(Settings(charging_url="http://there:1"))
    assert (alone.name, alone.url, deployments.of(FIRST)) == ("charging", "http://there:1", alone)
    assert re.match(deployments.topics_pattern("charging"), orders_topic(FIRST))


def test_a_file_says_whose_an_enterprise_is(tmp_path: Path) -> None:
    deployments = load_deployments(write(tmp_path, EAST, WEST))
    assert [deployments.of(uscc).name for uscc in (FIRST, SECOND)] == ["west", "charging"]
    assert deployments.names == {"charging", "west"}
    with pytest.raises(Refused, match="DANBAO_DEPLOYMENT is 'north'"):
        deployments.topics_pattern("north")


@given(st.lists(USCC, unique=True, min_size=2, max_size=6), USCC, st.integers(1, 5))
def test_one_pattern_matches_a_topic_and_no_other_does(named: list[str], other: str, cut: int) -> None:
    lists = [frozenset(part) for part in (named[:cut], named[cut:]) if part]
    deployments = Deployments(
        [Deployment("rest", ""), *(Deployment(f"d{n}", "", part) for n, part in enumerate(lists))]
    )
    for uscc in (*named, other):
        readers = {name for name in deployments.names if re.match(deployments.topics_pattern(name), orders_topic(uscc))}
        assert readers == {deployments.of(uscc).name}
    for strange in ("orders.v1.", orders_topic(other) + "0", "x" + orders_topic(other), orders_topic(named[0]) + ".x"):
        assert not [name for name in deployments.names if re.match(deployments.topics_pattern(name), strange)]


@pytest.mark.parametrize(
    "tables",
    [
        (EAST, EAST),
        (WEST,),
        (EAST, WEST, WEST.replace('"west"', '"south"')),
        (EAST, 'name = "west"\nurl = "http://west:8101"\nenterprises = []'),
        (EAST, 'name = "west"\nurl = "http://west:8101"\nenterprises = ["short"]'),
        (EAST, 'name = "West"\nurl = "http://west:8101"\nenterprises = []'),
        ('name = "charging"',),
        ("name =",),
    ],
)
def test_a_file_that_leaves_it_open_is_refused(tmp_path: Path, tables: tuple[str, ...]) -> None:
    with pytest.raises(Refused, match=r"deployments\.toml: "):
        load_deployments(write(tmp_path, *tables))
