"""Turns: in order, to whoever would give up first, and never to nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from runner.stores.turns import Turns
from tests.waiting import wait_for

PATIENT, HASTY = 600.0, 300.0


class Queue:
    """Threads that wait for their turn, each there before the next one comes."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.served: list[str] = []
        self._threads: list[threading.Thread] = []

    def join(self, name: str, seconds: float) -> None:
        def wait() -> None:
            if self.turns.take(seconds):
                self.served.append(name)
                self.turns.give_back()

        self._threads.append(threading.Thread(target=wait))
        self._threads[-1].start()
        wait_for(lambda: len(self.turns._waiting) == len(self._threads), f"{name} waits")

    def all_served(self) -> list[str]:
        for thread in self._threads:
            thread.join()
        return self.served


def test_those_of_equal_patience_are_served_as_they_came() -> None:
    queue = Queue()
    assert queue.turns.take(PATIENT)
    names = [f"{number:02}" for number in range(16)]
    for name in names:
        queue.join(name, PATIENT)
    queue.turns.give_back()
    assert queue.all_served() == names


def test_who_would_give_up_first_comes_first() -> None:
    queue = Queue()
    assert queue.turns.take(PATIENT)
    queue.join("patient", PATIENT)
    queue.join("hasty", HASTY)
    queue.join("patient too", PATIENT)
    queue.turns.give_back()
    assert queue.all_served() == ["hasty", "patient", "patient too"]


def test_nobody_gets_in_before_those_who_wait() -> None:
    """Given back, it is the next one's already: whoever asks meanwhile stands behind him."""
    queue = Queue()
    assert queue.turns.take(PATIENT)
    entered, leave = threading.Event(), threading.Event()

    def wait() -> None:
        assert queue.turns.take(PATIENT)
        entered.set()
        leave.wait()
        queue.turns.give_back()

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_for(lambda: len(queue.turns._waiting) == 1, "he waits")
    queue.turns.give_back()
    assert not queue.turns.take(0.0)
    entered.wait()
    leave.set()
    waiting.join()
    assert queue.turns.take(0.0)


def test_a_wait_ends_in_time_and_leaves_no_gap() -> None:
    queue = Queue()
    assert queue.turns.take(PATIENT)
    assert not queue.turns.take(0.01)
    queue.join("next", PATIENT)
    queue.turns.give_back()
    assert queue.all_served() == ["next"]
    assert queue.turns.take(0.0), "and then it is free"


@pytest.mark.parametrize("comes_first", [False, True], ids=["before the turn", "after the turn"])
def test_an_interrupt_takes_no_turn_along(monkeypatch: pytest.MonkeyPatch, comes_first: bool) -> None:
    """It hits a thread that waits; or one whose turn has come, and that does not know it yet."""
    turns = Turns()
    assert turns.take(PATIENT)
    real: Callable[[], threading.Lock] = threading.Lock

    class Interrupted:
        """The lock on which one waits."""

        def __init__(self) -> None:
            self._lock = real()
            self.release = self._lock.release

        def acquire(self, timeout: float | None = None) -> bool:
            if timeout is None:
                return self._lock.acquire()
            if comes_first:
                turns.give_back()
            raise KeyboardInterrupt

    monkeypatch.setattr(threading, "Lock", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        turns.take(PATIENT)
    monkeypatch.undo()
    if not comes_first:
        turns.give_back()
    assert turns.take(0.0), "it is free"


def test_many_at_once_each_alone() -> None:
    turns = Turns()
    inside, most, done = 0, 0, 0

    def work(seconds: float) -> None:
        nonlocal inside, most, done
        for _ in range(200):
            while not turns.take(seconds):
                pass
            inside += 1
            most = max(most, inside)
            inside -= 1
            done += 1
            turns.give_back()

    threads = [threading.Thread(target=work, args=(seconds,)) for seconds in (0.0, 0.0001, 0.001, 1.0, 60.0, 60.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, done) == (1, 1200)
    assert turns.take(0.0)
