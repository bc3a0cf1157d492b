"""The serving image's health check: `python -m mainspring.components.serving.health [PORT]`; status 0 if it is live."""

from __future__ import annotations

import http.client
import sys

from mainspring.components.serving.mounted_model import PORT

SECONDS = 4.0


def is_live(port: int) -> bool:
    """Returns whether a model server answers on a loopback port."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", "/v2/health/live")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not is_live(int(sys.argv[1]) if len(sys.argv) > 1 else PORT))
