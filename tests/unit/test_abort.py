"""The abort flag, where it is hard to set."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator

import pytest

from runner.abort import AbortBell

_MORE_THAN_THERE_IS = 1 << 46


@pytest.fixture
def no_more_threads() -> Iterator[None]:
    before = threading.stack_size(_MORE_THAN_THERE_IS)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        threading.Thread(target=print).start()
    yield
    threading.stack_size(before)


def test_it_is_set_where_no_thread_can_be_started(no_more_threads: None) -> None:
    """A stop that failed of this would have no ladder."""
    bell = AbortBell(multiprocessing.get_context("forkserver"))
    assert not bell.flag.is_set()
    bell.ring()
    assert bell.flag.is_set()
    bell.close()
    bell.forget_child_end()
