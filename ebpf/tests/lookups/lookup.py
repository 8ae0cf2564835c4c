# SPDX-License-Identifier: Apache-2.0
"""Resolves a name by Python; prints microseconds and what it says."""
import socket
import sys
import time

start = time.monotonic()
try:
    socket.getaddrinfo(sys.argv[1], 80)
    said = "ok"
except OSError as error:
    said = str(error)
print(round((time.monotonic() - start) * 1e6), said)
