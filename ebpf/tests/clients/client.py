"""A name a line: resolves it and connects to the first and the last address."""
import socket
import sys


def reach(at):
    with socket.socket(at[0], socket.SOCK_STREAM) as client:
        client.settimeout(2)
        try:
            client.connect(at[4])
            return 0
        except OSError as error:
            return error.errno or "timeout"


for line in sys.stdin:
    try:
        found = socket.getaddrinfo(line.strip(), 80, type=socket.SOCK_STREAM)
        print(reach(found[0]), reach(found[-1]), flush=True)
    except socket.gaierror as error:
        print("unresolved", error.errno, flush=True)
