"""Where batches come from: an iterable walked by count, or a function walked by key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Generic, Protocol, TypeVar, cast

Item = TypeVar("Item")
Given = TypeVar("Given", covariant=True)


class Source(Protocol[Given]):
    """``position``: where a later run would go on after what was taken so far."""

    position: Any

    def take(self, size: int) -> Sequence[Given]:
        """The next items, at most ``size``; empty at the end."""

    def has_more(self) -> bool:
        """Whether ``take`` would give anything now."""


class CountedSource(Generic[Item]):
    """An iterable; the position is how many are done."""

    def __init__(self, items: Iterable[Item], position: Any) -> None:
        self.position = int(position or 0)
        self._rest: Iterator[Item] = islice(items, self.position, None)
        self._ahead: list[Item] = []

    def take(self, size: int) -> Sequence[Item]:
        taken = list(islice(chain(self._ahead, self._rest), size))
        self._ahead = []
        self.position += len(taken)
        return taken

    def has_more(self) -> bool:
        self._ahead = self._ahead or list(islice(self._rest, 1))
        return bool(self._ahead)


class KeyedSource(Generic[Item]):
    """A function ``(after_key, size) -> items`` with ``.key``; the position is the last key taken."""

    def __init__(self, fetch: Callable[[Any, int], Sequence[Item]], position: Any) -> None:
        self.position = position
        self._fetch = fetch

    def take(self, size: int) -> Sequence[Item]:
        items = self._fetch(self.position, size)
        if items:
            self.position = cast(Any, items[-1]).key
        return items

    def has_more(self) -> bool:
        return bool(self._fetch(self.position, 1))


def source_of(source: Iterable[Item] | Callable[[Any, int], Sequence[Item]], position: Any) -> Source[Item]:
    if callable(source):
        return KeyedSource(source, position)
    return CountedSource(source, position)
