"""Query the readiness of the service in this container: `python -m deploy.ready`, the compose file's health check.

It prints what the service answers, so that the reasons can be read in `docker inspect` too.
"""

import http.client
import os
import sys

PATIENCE_SECONDS = 4.0


def main(host: str, port: int) -> int:
    """Return 0 when /readyz answers 200, else 1."""
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        print(answer.read().decode())
    except (OSError, http.client.HTTPException) as error:
        print(f"no answer on port {port}: {error!r}")
        return 1
    else:
        return 0 if answer.status == http.HTTPStatus.OK else 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main("127.0.0.1", int(os.environ["DANBAO_PORT"])))
