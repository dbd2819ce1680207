"""What `helm test` runs in the cluster: fails unless every shard answers at the address it is called with."""

import socket
import ssl
import sys
from urllib.parse import urlsplit
from urllib.request import urlopen

SECONDS = 10

for address in sys.argv[1:]:
    parts = urlsplit(address)
    if parts.scheme == "tcp":  # clients must show a certificate, and this one has none
        socket.create_connection((parts.hostname, parts.port), SECONDS).close()
        answer = "connected"
    else:
        # Whether the certificate is good is Prometheus' to check, which has the CA.
        context = ssl._create_unverified_context() if parts.scheme == "https" else None
        with urlopen(address, timeout=SECONDS, context=context) as response:
            answer = response.read().decode().strip()
    print(f"{address}: {answer}")
