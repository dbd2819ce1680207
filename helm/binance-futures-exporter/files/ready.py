"""What `helm test` runs in the cluster: asks every shard for up to a minute and prints which are not ready."""

import socket
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import SplitResult, urlsplit

PATIENCE_SECONDS = 60
ANSWER_SECONDS = 5


def problem(address: str) -> str:
    """Return why the shard at an address is not ready, "" if it is."""
    parts = urlsplit(address)
    try:
        if parts.scheme == "tcp":  # it requires client certificates, and this has none
            socket.create_connection((parts.hostname, parts.port), ANSWER_SECONDS).close()
            return ""
        return answer(parts)
    except (OSError, HTTPException) as error:
        return str(error) or type(error).__name__


def answer(parts: SplitResult) -> str:
    """Return the response of a shard, "" for 200."""
    if parts.scheme == "https":
        # Prometheus, which has the CA, verifies the certificate.
        context = ssl._create_unverified_context()
        connection = HTTPSConnection(parts.netloc, timeout=ANSWER_SECONDS, context=context)
    else:
        connection = HTTPConnection(parts.netloc, timeout=ANSWER_SECONDS)
    connection.request("GET", parts.path)
    response = connection.getresponse()
    text = response.read().decode(errors="replace")
    connection.close()
    return "" if response.status == 200 else f"{response.status} {text}"


problems = dict.fromkeys(sys.argv[1:], "")
deadline = time.monotonic() + PATIENCE_SECONDS
with ThreadPoolExecutor(max_workers=32) as threads:
    while True:
        asked = list(problems)
        problems = {address: why for address, why in zip(asked, threads.map(problem, asked), strict=True) if why}
        if not problems or time.monotonic() > deadline:
            break
        time.sleep(1)
for address, why in problems.items():
    print(f"{address}: {' '.join(why.split())}")
print(f"{len(sys.argv) - 1 - len(problems)} of {len(sys.argv) - 1} ready")
sys.exit(1 if problems else 0)
