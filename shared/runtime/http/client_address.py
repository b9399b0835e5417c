"""Finds where a request came from: the peer's address, or what named proxies say of it in X-Forwarded-For.

A caller that reaches a port that Docker publishes has the address of the network's gateway, so a gateway is never
taken for a proxy: a caller could write any address into the header.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from shared.domain.errors import Refused

ROUTES: Final = Path("/proc/net/route")
CONTAINER: Final = Path("/.dockerenv")
MOST_HOPS: Final = 16
_WIDEST: Final = {4: 8, 6: 32}
"""A network with a shorter prefix names half the world, not proxies."""
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Proxies:
    """Proxies whose headers are believed, by exact address or network; raises Refused for what cannot be one."""

    def __init__(self, named: Iterable[str] = (), gateways: Iterable[Address] = ()) -> None:
        self._networks = [_network(name) for name in named]
        for gateway in gateways:
            if self._is_named(gateway):
                raise Refused(
                    f"DANBAO_TRUSTED_PROXIES names {gateway}, the gateway of this machine's network: everybody who "
                    "reaches a published port comes from it. Name the proxy's own address"
                )

    def are(self, peer: str) -> bool:
        """Whether this peer is one of them."""
        address = _address(peer)
        return address is not None and self._is_named(address)

    def client(self, peer: str, forwarded: Sequence[str]) -> str:
        """The address of the client: the last one in the headers that is not a proxy's, else the peer."""
        client = peer
        hops = [hop.strip() for line in forwarded for hop in line.split(",")]
        for hop in reversed(hops[-MOST_HOPS:]):
            if not self.are(client):
                break
            address = _address(hop)
            if address is None:
                break
            client = str(address)
        return client

    def _is_named(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def read_gateways() -> list[Address]:
    """Gateways of this machine; within a container also the first address of each network it is on, as Docker does."""
    if not ROUTES.exists():
        return []
    return list(gateways_of(ROUTES.read_text(encoding="ascii"), is_container=CONTAINER.exists()))


def gateways_of(routes: str, *, is_container: bool) -> Iterable[Address]:
    """Those in the kernel's table of IPv4 routes, whose addresses are little-endian hex."""
    for line in routes.splitlines()[1:]:
        _, destination, gateway, *_, mask, _, _, _ = line.split()
        if int(gateway, 16):
            yield _little_endian(gateway)
        elif is_container and int(destination, 16) and int(mask, 16) != 0xFFFFFFFF:
            yield _little_endian(destination) + 1


def network_of(address: str) -> str:
    """The address as limits count it: IPv6 by its /64, which one machine may use up."""
    known = _address(address)
    if known is None:
        return address[:64]
    return str(ipaddress.ip_network(f"{known}/64", strict=False)) if known.version == 6 else str(known)


def _little_endian(text: str) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(text, 16).to_bytes(4, "little"))


def _network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text.strip())
    except ValueError as error:
        raise Refused(f"DANBAO_TRUSTED_PROXIES: {text!r} is no address and no network") from error
    if network.prefixlen < _WIDEST[network.version]:
        raise Refused(f"DANBAO_TRUSTED_PROXIES: {text} is too wide for a network of proxies")
    return network


def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
