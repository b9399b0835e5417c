"""Query the readiness of the service in this container: `python -m deploy.ready`, the compose file's health check.

By TLS where the service has a certificate (DANBAO_TLS_CERTIFICATE): by an authority of DANBAO_TLS_CA, for any name.
It prints what the service answers, so that the reasons can be read in `docker inspect` too.
"""

import http.client
import os
import ssl
import sys

PATIENCE_SECONDS = 4.0


def main(host: str, port: int) -> int:
    """Return 0 when /readyz answers 200, else 1."""
    try:
        connection = connect(host, port)
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        print(answer.read().decode())
    except (OSError, http.client.HTTPException) as error:
        print(f"no answer on port {port}: {error!r}")
        return 1
    connection.close()
    return 0 if answer.status == http.HTTPStatus.OK else 1


def connect(host: str, port: int) -> http.client.HTTPConnection:
    """Make the connection that the service's settings are for."""
    if not os.environ.get("DANBAO_TLS_CERTIFICATE"):
        return http.client.HTTPConnection(host, port, timeout=PATIENCE_SECONDS)
    context = ssl.create_default_context(cafile=os.environ.get("DANBAO_TLS_CA"))
    context.check_hostname = False  # this machine's own address is in no certificate that an operator brings
    return http.client.HTTPSConnection(host, port, timeout=PATIENCE_SECONDS, context=context)


if __name__ == "__main__":
    sys.exit(main("127.0.0.1", int(os.environ["DANBAO_PORT"])))
