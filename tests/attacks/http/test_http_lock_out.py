"""Guessing passwords: it is slowed by account and address, and never shuts the door on others behind the address."""

import asyncio
from ipaddress import ip_address

import asyncpg
import httpx
import pytest

from services.reporting.access.accounts import OF_ACCOUNT, OF_ADDRESS, OF_PAIR, Patience
from services.reporting.access.passwords import AT_ONCE, MOST_WAITING, MOST_WAITING_OF_ADDRESS, Passwords
from shared.domain.errors import Refused, Retry
from shared.runtime.http.client_address import Proxies, gateways_of, network_of
from tests.integration.reporting import access_harness
from tests.integration.reporting.access_harness import PASSWORD, add, browser, sign_in
from tests.integration.reporting.reporting_harness import House

pytestmark = pytest.mark.exhaustive

NOTE = (
    "insert into reporting.access_note (what, subject, address) select 'attempted', $1, $2 from generate_series(1, $3)"
)


opened, house, owner, name = access_harness.opened, access_harness.house, access_harness.owner, access_harness.name


def network_of_client(client: httpx.AsyncClient) -> str:
    transport = client._transport
    assert isinstance(transport, httpx.ASGITransport)
    return network_of(transport.client[0])


async def test_failures_with_other_names_do_not_shut_out_who_is_behind_the_same_address(
    house: House, owner: asyncpg.Connection, name: str
) -> None:
    """Thirty, which once had everybody there wait for a quarter of an hour; then so many that they are slowed."""
    await add(house, name, "operator")
    async with browser(house) as client:
        here = network_of_client(client)
        for number in range(30):
            await owner.execute(NOTE, f"guess-{number}", here, 1)
        assert (await sign_in(client, name)).status_code == 303
        await owner.execute(NOTE, "guess", here, OF_ADDRESS.free + 20)
        assert (await sign_in(client, name)).status_code == 303, "an account that knows the address waits for nobody"
        slowed = await sign_in(client, f"{name}-nobody")
        assert slowed.status_code == 429
        assert 1 <= int(slowed.headers["retry-after"]) <= OF_ADDRESS.longest


async def test_an_accounts_own_failures_are_slowed_more_and_more(
    house: House, owner: asyncpg.Connection, name: str
) -> None:
    await add(house, name, "national")
    async with browser(house) as client, browser(house) as elsewhere:
        here = network_of_client(client)
        assert (await sign_in(elsewhere, name)).status_code == 303
        assert (await sign_in(client, name, "a wrong password")).status_code == 401
        await owner.execute(NOTE, name, here, OF_PAIR.free + 4)
        first = await sign_in(client, name)
        assert first.status_code == 429
        assert 16 < int(first.headers["retry-after"]) <= 32
        await owner.execute(NOTE, name, here, 1)
        assert 32 < int((await sign_in(client, name)).headers["retry-after"]) <= 64
        assert (await sign_in(elsewhere, name)).status_code == 303


async def test_many_addresses_slow_an_account_but_not_where_it_is_known(
    house: House, owner: asyncpg.Connection, name: str
) -> None:
    await add(house, name, "national")
    async with browser(house) as at_work, browser(house) as travelling:
        assert (await sign_in(at_work, name)).status_code == 303
        for number in range(OF_ACCOUNT.free + 10):
            await owner.execute(NOTE, name, f"2001:db8:ffff:{number:x}::/64", 1)
        away = await sign_in(travelling, name)
        assert away.status_code == 429
        assert 1 <= int(away.headers["retry-after"]) <= OF_ACCOUNT.longest
        assert (await sign_in(at_work, name)).status_code == 303


def test_patience_grows_and_ends() -> None:
    patience = Patience(free=3, longest=60)
    assert [patience.seconds(failed) for failed in (0, 2, 3, 4, 5, 8, 9, 10_000)] == [0, 0, 1, 2, 4, 32, 60, 60]


async def test_the_queue_of_passwords_is_bounded_and_no_address_fills_it() -> None:
    passwords = Passwords()
    kept = await passwords.hash(PASSWORD, "somebody")
    flood = [asyncio.create_task(passwords.is_right(kept, "wrong password", "192.0.2.1")) for _ in range(30)]
    crowd = [asyncio.create_task(passwords.is_right(kept, PASSWORD, f"198.51.100.{number}")) for number in range(30)]
    answers = await asyncio.gather(*flood, *crowd, return_exceptions=True)
    is_refused = [isinstance(answer, Retry) for answer in answers]
    assert 30 - sum(is_refused[:30]) <= AT_ONCE + MOST_WAITING_OF_ADDRESS
    assert not is_refused[30], "who comes from elsewhere has a place in the queue"
    assert 60 - sum(is_refused) <= AT_ONCE + MOST_WAITING


def test_only_a_named_proxys_word_is_taken_for_an_address() -> None:
    nobody, proxies = Proxies(), Proxies(["10.0.0.5", "2001:db8:9::/64"])
    assert nobody.client("127.0.0.1", ["198.51.100.7"]) == "127.0.0.1", "not even this host's own"
    assert proxies.client("192.0.2.8", ["198.51.100.7"]) == "192.0.2.8"
    assert proxies.client("10.0.0.5", ["203.0.113.1, 198.51.100.7"]) == "198.51.100.7", "the first was the caller's"
    assert proxies.client("10.0.0.5", ["203.0.113.1", "198.51.100.7, 2001:db8:9::1"]) == "198.51.100.7"
    assert proxies.client("::ffff:10.0.0.5", ["198.51.100.7"]) == "198.51.100.7"
    assert proxies.client("10.0.0.5", ["198.51.100.7, rubbish"]) == "10.0.0.5"
    assert proxies.client("10.0.0.5", []) == "10.0.0.5"


ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010012AC\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000012AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
eth1\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


def test_the_gateway_of_docker_is_no_proxy() -> None:
    gateways = list(gateways_of(ROUTES, is_container=True))
    assert gateways == [ip_address(address) for address in ("172.18.0.1", "172.18.0.1", "192.168.0.1")]
    assert list(gateways_of(ROUTES, is_container=False)) == [ip_address("172.18.0.1")]
    for named in ("172.18.0.1", "172.18.0.0/16", "192.168.0.1"):
        with pytest.raises(Refused, match="the gateway"):
            Proxies([named], gateways)
    for named in ("0.0.0.0/0", "::/0", "everybody", "10.0.0.0/7"):
        with pytest.raises(Refused):
            Proxies([named])
    assert Proxies(["172.18.0.9"], gateways).are("172.18.0.9")
