"""The proxy of docker-compose.yml: its very configuration, in a real nginx, before a small service that answers all."""

import http.client
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

from deploy.embedded.ports import free_port
from deploy.proxy_files import IN_COMPOSE, make_certificate, make_proxy_files, render
from deploy.tls_files import make_internal_authority, make_server_file
from shared.domain.errors import Refused
from shared.runtime.clock import now
from tests.support.tools import needs, tool
from tests.support.waiting import eventually

NAME: Final = "portal.danbao.example"
HIDDEN: Final = (
    "/metrics", "//metrics", "/%6detrics", "/log/../metrics", "/metrics/", "/readyz", "/healthz", "/openapi.json",
    "/v1/accounts", "/v1/accounts/li/password", "/v1/read-model/rebuild", "/v1/reports/r/retry",
)  # fmt: skip
LARGEST: Final = 256 * 1024

pytestmark = [needs("nginx"), pytest.mark.exhaustive]


class Echo(BaseHTTPRequestHandler):
    """Echoes the request as JSON: method, path, headers, and how long the body was."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = [[name.lower(), value] for name, value in self.headers.items()]
        reported = {"method": self.command, "path": self.path, "headers": headers, "length": len(body)}
        data = json.dumps(reported).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Strict-Transport-Security", "max-age=1")
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the library
        """Say nothing."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running nginx and how to reach it."""

    portal: int
    platform: int
    authority: Path
    log: Path

    def connect(self, port: int, name: str = NAME) -> ssl.SSLSocket:
        """A connection whose certificate was checked."""
        context = ssl.create_default_context(cafile=str(self.authority))
        plain = socket.create_connection(("127.0.0.1", port), timeout=20)
        return context.wrap_socket(plain, server_hostname=name)

    def request(
        self,
        path: str,
        method: str = "GET",
        *,
        port: int | None = None,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Status, the request that the service behind received (empty if none), and the answer's headers."""
        target = port or self.portal
        connection = http.client.HTTPConnection(NAME, target)
        connection.sock = self.connect(target)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        given = {"Host": f"{NAME}:{target}", **(headers or {})}
        if body:
            given["Content-Length"] = str(len(body))
        for name, value in given.items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        reported = json.loads(data) if data.startswith(b"{") else {}
        return answer.status, reported, {name.lower(): value for name, value in answer.getheaders()}

    def send(self, data: bytes) -> bytes:
        """What comes back for these bytes until the proxy closes."""
        with self.connect(self.portal) as connection:
            connection.sendall(data)
            return b"".join(iter(lambda: connection.recv(65_536), b""))


@contextmanager
def service(certificate: Path) -> Iterator[str]:
    """The small service, by TLS with this certificate."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with running_proxy(tmp_path_factory.mktemp("proxy"), "ours") as opened:
        yield opened


@contextmanager
def running_proxy(folder: Path, trusted: str) -> Iterator[Proxy]:
    """The proxy before services of the authority `ours`, trusting the authority of this name."""
    ports = [free_port() for _ in range(3)]
    ours, strange = (make_internal_authority(folder / name, now()) for name in ("ours", "strange"))
    make_server_file(ours, folder / "service.pem", ("127.0.0.1",), now())
    assert ours.certificate != strange.certificate
    with service(folder / "service.pem") as behind:
        places = {
            **IN_COMPOSE, "RUN": str(folder), "TLS": str(folder / "tls"), "WAIT": "1s",
            "ACCESS_LOG": str(folder / "access.log"),
            "PORTAL_PORT": str(ports[0]), "PLATFORM_PORT": str(ports[1]), "HEALTH_PORT": str(ports[2]),
            "REPORTING": behind, "LEDGER": behind, "PLATFORM": behind, "CA": str(folder / trusted / "ca.pem"),
        }  # fmt: skip
        make_certificate(folder / "tls", folder / "ca.pem", NAME, now())
        configuration = folder / "nginx.conf"
        configuration.write_text(render(places, f"https://{NAME}:{ports[0]}"))
        command = [tool("nginx"), "-p", str(folder), "-c", str(configuration), "-e", "stderr"]
        checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
        assert "[warn]" not in checked.stderr, checked.stderr
        child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        opened = Proxy(ports[0], ports[1], folder / "ca.pem", folder / "access.log")
        try:
            eventually(lambda: answers(ports[2]) or child.poll() is not None, "nginx answers its health check")
            assert child.poll() is None, "nginx has ended: was one of its ports taken meanwhile?"
            yield opened
        finally:
            child.terminate()
            child.wait(20)


def answers(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/")
        return connection.getresponse().status == 204
    except OSError:
        return False


def values(reported: dict[str, Any], name: str) -> list[str]:
    return [value for known, value in reported["headers"] if known == name]


def test_who_asks_is_what_the_proxy_saw(proxy: Proxy) -> None:
    """A forged X-Forwarded-For (and its relatives) is overwritten, never added to."""
    forged = {
        "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Port": "1", "X-Real-IP": "203.0.113.9", "Forwarded": "for=203.0.113.9",
    }  # fmt: skip
    status, reported, headers = proxy.request("/statements?period=2026-10", headers=forged)
    assert status == 200
    assert reported["path"] == "/statements?period=2026-10"
    assert (values(reported, "x-forwarded-for"), values(reported, "x-forwarded-proto")) == (["127.0.0.1"], ["https"])
    assert values(reported, "host") == [f"{NAME}:{proxy.portal}"]
    assert not {"x-forwarded-host", "x-forwarded-port", "x-real-ip", "forwarded"} & {
        name for name, _ in reported["headers"]
    }
    assert headers["strict-transport-security"] == "max-age=31536000"
    assert "nginx/" not in headers["server"]


@pytest.mark.parametrize("host", ["evil.example", "", "127.0.0.1", f"{NAME}.evil.example", f"evil.{NAME}"])
def test_another_host_is_not_served(proxy: Proxy, host: str) -> None:
    status, reported, _ = proxy.request("/", headers={"Host": host})
    assert (status in {400, 421}, reported) == (True, {})


@pytest.mark.parametrize("path", HIDDEN)
def test_what_operators_ask_is_not_passed_on(proxy: Proxy, path: str) -> None:
    for method in ("GET", "POST"):
        status, reported, _ = proxy.request(path, method)
        assert (status, reported) == (404, {})
    if not path.startswith("/v1"):
        assert proxy.request(path, port=proxy.platform)[:2] == (404, {})


def test_a_large_body_is_refused_before_it_is_sent(proxy: Proxy) -> None:
    assert proxy.request("/v1/trials", "POST", body=bytes(LARGEST))[1]["length"] == LARGEST
    head = f"POST / HTTP/1.1\r\nHost: {NAME}:{proxy.portal}\r\nContent-Length: {64 * 1024 * 1024}\r\n\r\n"
    assert proxy.send(head.encode()).startswith(b"HTTP/1.1 413 ")
    body = b"\r\n".join([b"40001", bytes(0x40001), b"0", b"", b""])
    head = f"POST / HTTP/1.1\r\nHost: {NAME}:{proxy.portal}\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert proxy.send(head.encode() + body).startswith(b"HTTP/1.1 413 ")


def test_only_the_platforms_reports_may_be_larger(proxy: Proxy) -> None:
    large = bytes(1024 * 1024)
    assert proxy.request("/v1/reports", "POST", port=proxy.platform, body=large)[1]["length"] == len(large)
    assert proxy.request("/witness/add-checkpoint", "POST", port=proxy.platform, body=b"note")[0] == 200


def test_a_slow_client_is_cut_off(proxy: Proxy) -> None:
    """Half a header, and a body of which one byte comes: the time is 10 s in compose, and 1 s here."""
    assert IN_COMPOSE["WAIT"] == "10s"
    assert proxy.send(f"GET / HTTP/1.1\r\nHost: {NAME}:{proxy.portal}\r\nX-Slow: ".encode()) == b""
    answer = proxy.send(f"POST / HTTP/1.1\r\nHost: {NAME}:{proxy.portal}\r\nContent-Length: 9\r\n\r\n1".encode())
    assert answer == b""
    eventually(lambda: proxy.log.read_text().count('"status":"408"') == 2, "both in the log")


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length : 5\r\n",
        "Content-Length: +5\r\n",
        "Host: evil.example\r\n",
        f"X-Long: {'x' * 40_000}\r\n",
    ],
)
def test_what_two_programs_could_read_in_two_ways_is_refused(proxy: Proxy, head: str) -> None:
    """No request is smuggled behind another: what is ambiguous gets no further, and the connection is closed."""
    rest = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = proxy.send(f"POST / HTTP/1.1\r\nHost: {NAME}:{proxy.portal}\r\n{head}\r\n{rest}".encode())
    assert answer.split()[1] in {b"400", b"501"}, answer
    assert b"smuggled" not in answer


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_only_tls_from_1_2_on(proxy: Proxy) -> None:
    with proxy.connect(proxy.portal) as connection:
        assert connection.version() in {"TLSv1.2", "TLSv1.3"}
    context = ssl.create_default_context(cafile=str(proxy.authority))
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", proxy.portal), timeout=20) as plain,
        pytest.raises(ssl.SSLError),
        context.wrap_socket(plain, server_hostname=NAME),
    ):
        pass


def test_the_portals_cookie_and_key_go_to_the_portal_only(proxy: Proxy) -> None:
    secret = {"Cookie": "__Host-danbao_session=secret", "Authorization": "Bearer secret"}
    reported = proxy.request("/overview", headers=secret)[1]
    assert (values(reported, "cookie"), values(reported, "authorization")) == (
        [secret["Cookie"]],
        [secret["Authorization"]],
    )
    reported = proxy.request("/log/checkpoint", headers=secret)[1]
    assert (values(reported, "cookie"), values(reported, "authorization")) == ([], [])
    reported = proxy.request("/v1/reports", port=proxy.platform, headers=secret)[1]
    assert (values(reported, "cookie"), values(reported, "authorization")) == ([], [secret["Authorization"]])


def test_methods_that_nothing_here_has_are_refused(proxy: Proxy) -> None:
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"):
        assert proxy.request("/", method)[0] == 405


def test_a_service_of_another_authority_is_sent_nothing(tmp_path: Path) -> None:
    with running_proxy(tmp_path, "strange") as opened:
        for path in ("/", "/log/checkpoint", "/sign-in"):
            assert opened.request(path)[:2] == (502, {})
        assert opened.request("/v1/reports", port=opened.platform)[:2] == (502, {})


def test_the_log_has_no_token(proxy: Proxy) -> None:
    proxy.request("/w/danbSECRET?worker=SECRET")
    eventually(lambda: '"/w/-"' in proxy.log.read_text(), "the request in the log")
    assert "SECRET" not in proxy.log.read_text()


def test_many_attempts_to_sign_in_from_one_address_are_slowed_down(proxy: Proxy) -> None:
    """The last test of the file: the address has used up its requests."""
    statuses = [proxy.request("/sign-in", "POST", body=b"name=a")[0] for _ in range(60)]
    assert statuses[:10] == [200] * 10
    assert statuses.count(429) > 20
    assert proxy.request("/overview")[0] == 200


@pytest.mark.parametrize("url", ["http://localhost:8443", "localhost", "https://", "https://a b", "https://a;b"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(Refused, match="DANBAO_PUBLIC_URL"):
        make_proxy_files(tmp_path, url, now())


def test_a_given_certificate_is_kept_and_half_a_one_is_refused(tmp_path: Path) -> None:
    make_proxy_files(tmp_path, "https://localhost:8443", now())
    made = (tmp_path / "tls" / "tls.crt").read_bytes()
    make_proxy_files(tmp_path, "https://localhost:8443", now())
    assert (tmp_path / "tls" / "tls.crt").read_bytes() == made
    assert (tmp_path / "tls" / "tls.key").stat().st_mode & 0o077 == 0
    (tmp_path / "tls" / "tls.key").unlink()
    with pytest.raises(Refused, match=r"one of tls\.crt and tls\.key"):
        make_proxy_files(tmp_path, "https://localhost:8443", now())
