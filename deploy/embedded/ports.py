"""Free ports of this machine."""

import socket

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A port nobody listens on, and that nobody else is given for the next minute.

    A connection over it is closed on our side first, so the kernel keeps the port in TIME_WAIT: a server that names it
    may have it (they all set SO_REUSEADDR); a process that binds port 0 gets another one.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((LOOPBACK, 0))
        probe.listen(1)
        port: int = probe.getsockname()[1]
        with socket.create_connection((LOOPBACK, port)):
            probe.accept()[0].close()
        return port


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections on `port` of the loopback address."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0
