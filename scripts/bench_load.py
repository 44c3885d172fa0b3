"""A client that only counts, where wrk is not installed: ``-m scripts.bench_load PORT PATH CONNECTIONS SECONDS``.

Prints ``[requests a second, p99 in ms]``. It takes about as much of a core as the server, so that more is possible.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time


def load(port: int, path: str, connections: int, seconds: float) -> tuple[float, float]:
    """Each connection asks again as soon as it was answered."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    selector = selectors.DefaultSelector()
    sent: dict[socket.socket, float] = {}
    rest: dict[socket.socket, bytes] = {}
    for _ in range(connections):
        connection = socket.create_connection(("127.0.0.1", port))
        selector.register(connection, selectors.EVENT_READ, connection)
        sent[connection], rest[connection] = time.monotonic(), b""
        connection.sendall(request)
    times: list[float] = []
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        for key, _ in selector.select(1.0):
            connection = key.data
            rest[connection] += connection.recv(65536)
            if is_whole(rest[connection]):
                now = time.monotonic()
                times.append((now - sent[connection]) * 1000)
                sent[connection], rest[connection] = now, b""
                connection.sendall(request)
    took = time.monotonic() - began
    times.sort()
    return len(times) / took, times[int(len(times) * 0.99)]


def is_whole(answer: bytes) -> bool:
    """Raises ValueError for any answer but a 200."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    if not head.startswith(b"HTTP/1.1 200"):
        raise ValueError(head[:200])
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    return len(body) >= int(fields[b"content-length"])


if __name__ == "__main__":
    _, given_port, given_path, given_connections, given_seconds = sys.argv
    print(json.dumps(load(int(given_port), given_path, int(given_connections), float(given_seconds))))
