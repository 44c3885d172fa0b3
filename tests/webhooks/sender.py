"""A gateway that sends its events as often as it must: until the answer is 2xx."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any

from tests.waiting import wait_for

SECRET = "a-secret-of-the-tests-that-is-long-enough"
WAHA_KEY = "a-key-of-the-tests-that-is-long-enough-too"
_pause = threading.Event()


class Sender:
    """Sends from several connections at once.

    ``answered``: how many events were answered 2xx so far; ``unanswered``: how many tries had no answer.
    """

    def __init__(self, port: int, *, at_once: int = 16) -> None:
        self._port = port
        self._at_once = at_once
        self._lock = threading.Lock()
        self.answered = 0
        self.unanswered = 0

    def send(self, events: Sequence[Any]) -> None:
        """Returns when each was answered 2xx. An event that is bytes is sent as it is, as if by Evolution."""
        waiting: SimpleQueue[Any] = SimpleQueue()
        for event in events:
            waiting.put(event)
        with ThreadPoolExecutor(self._at_once) as pool:
            for done in [pool.submit(self._work, waiting) for _ in range(self._at_once)]:
                done.result()

    def _work(self, waiting: SimpleQueue[Any]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            while True:
                try:
                    event = waiting.get_nowait()
                except Empty:
                    return
                self._send_until_taken(connection, event)
        finally:
            connection.close()

    def _send_until_taken(self, connection: http.client.HTTPConnection, event: Any) -> None:
        raw = event if isinstance(event, bytes) else json.dumps(event).encode()
        path, proof = "/webhook", {"X-Webhook-Secret": SECRET}
        if isinstance(event, dict) and "session" in event:
            said = hmac.new(WAHA_KEY.encode(), raw, hashlib.sha512).hexdigest()
            path, proof = "/webhook/waha", {"X-Webhook-Hmac": said}
        wait_for(lambda: self._is_taken(connection, path, raw, proof), "an event is taken", 120)
        with self._lock:
            self.answered += 1

    def _is_taken(self, connection: http.client.HTTPConnection, path: str, raw: bytes, proof: dict[str, str]) -> bool:
        try:
            connection.request("POST", path, body=raw, headers={"Content-Type": "application/json"} | proof)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            with self._lock:
                self.unanswered += 1
            _pause.wait(0.05)
            return False
        assert answer.status in (200, 503), answer.status
        return answer.status == 200
