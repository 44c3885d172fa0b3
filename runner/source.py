"""Where batches come from: an iterable walked by count, or a function walked by key."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar, cast

from runner.errors import LoopMisused

Item = TypeVar("Item")
Given = TypeVar("Given", covariant=True)


class Source(Protocol[Given]):
    """``position``: where a later run would go on after what was taken so far. ``again``: numbers of items before it
    that are still to be given once more. ``numbers``: of the items that were taken last; empty where they have none.
    """

    position: Any
    numbers: Sequence[int]

    @property
    def again(self) -> list[int]: ...

    def take(self, size: int) -> Sequence[Given]:
        """The next items, at most ``size``; empty at the end."""

    def has_more(self) -> bool:
        """Whether ``take`` would give anything now."""

    def put_back(self, given: Iterable[tuple[int, Any]]) -> None:
        """Items, by number, that this run had taken and that are to come again."""


class CountedSource(Generic[Item]):
    """An iterable; the position is how many are done. Those in ``again`` were put back: they come first."""

    def __init__(self, items: Iterable[Item], position: Any, again: Iterable[int] = ()) -> None:
        self.position = int(position or 0)
        self.numbers: Sequence[int] = ()
        self._wanted = sorted(set(again))
        self._back: list[tuple[int, Item]] = []
        self._rest: Iterator[Item] = iter(items)
        self._to_skip = self.position
        self._ahead: list[Item] = []

    @property
    def again(self) -> list[int]:
        return sorted([*self._wanted, *(number for number, _ in self._back)])

    def take(self, size: int) -> Sequence[Item]:
        self._skip()
        first, self._back = self._back[:size], self._back[size:]
        fresh = self._next(size - len(first))
        self.numbers = [number for number, _ in first] + list(range(self.position, self.position + len(fresh)))
        self.position += len(fresh)
        return [item for _, item in first] + fresh

    def has_more(self) -> bool:
        self._skip()
        self._ahead = self._ahead or list(islice(self._rest, 1))
        return bool(self._back or self._ahead)

    def put_back(self, given: Iterable[tuple[int, Any]]) -> None:
        self._back += given

    def _next(self, size: int) -> list[Item]:
        ahead, self._ahead = self._ahead[:size], self._ahead[size:]
        return ahead + list(islice(self._rest, size - len(ahead)))

    def _skip(self) -> None:
        """Past what is done; of that only what was put back is kept."""
        if not self._to_skip:
            return
        passed = 0
        for number in self._wanted:
            found = list(islice(self._rest, number - passed, number - passed + 1))
            if not found:
                raise LoopMisused(
                    f"item {number} was put back and is to be given again, but the list has become shorter; "
                    "a list must be the same in every run"
                )
            self._back.append((number, found[0]))
            passed = number + 1
        next(islice(self._rest, self._to_skip - passed, self._to_skip - passed), None)
        self._wanted, self._to_skip = [], 0


class KeyedSource(Generic[Item]):
    """A function ``(after_key, size) -> items`` with ``.key``; the position is the last key taken."""

    numbers: Sequence[int] = ()
    again: list[int] = []  # noqa: RUF012 - never changed: what goes back to a queue comes again by a key of its own

    def __init__(self, fetch: Callable[[Any, int], Iterable[Item]], position: Any) -> None:
        self.position = position
        self._fetch = fetch

    def take(self, size: int) -> Sequence[Item]:
        items = list(islice(self._fetch(self.position, size), size))
        if items:
            self.position = self._last_of([_key_of(item) for item in items])
        return items

    def has_more(self) -> bool:
        return any(True for _ in islice(self._fetch(self.position, 1), 1))

    def put_back(self, given: Iterable[tuple[int, Any]]) -> None:
        """Nothing is: the workflow itself has put it back, under a new key."""

    def _last_of(self, keys: list[Any]) -> Any:
        if len({json.dumps(key) for key in keys}) < len(keys):
            raise LoopMisused(f"the function gave two items with the same key, {_shown(keys)}; each needs its own")
        if keys[-1] == self.position:
            raise LoopMisused(
                f"the function gave the key {_shown(keys[-1])} again, which is done: it must give items after that key"
            )
        return keys[-1]


def _key_of(item: Any) -> Any:
    try:
        key = item.key
    except AttributeError:
        raise LoopMisused(
            f"an item of type {type(item).__name__} has no attribute 'key'; what a function gives is walked by "
            ".key, so that a later run finds its place: give objects that have one, or give job.batches a list"
        ) from None
    try:
        kept = json.loads(json.dumps(key, allow_nan=False))
        json.dumps(key, ensure_ascii=False).encode()
    except (TypeError, ValueError):
        kept = None
    if key is None or kept != (list(key) if isinstance(key, tuple) else key):
        raise LoopMisused(f"the key {_shown(key)} cannot be kept: a key is text, a number, or a list of these")
    return kept


def _shown(value: Any) -> str:
    return repr(value)[:100]


def source_of(
    source: Iterable[Item] | Callable[[Any, int], Iterable[Item]], position: Any, again: Iterable[int] = ()
) -> Source[Item]:
    if callable(source):
        return cast(Source[Item], KeyedSource(source, position))
    return CountedSource(source, position, again)


def check_source(source: object) -> None:
    """Raises LoopMisused for what cannot be walked, or not in the same order by every run."""
    if callable(source):
        return
    if isinstance(source, (set, frozenset)):
        raise LoopMisused("a set has another order in every process: give job.batches a list, say sorted(…)")
    if isinstance(source, (str, bytes)):
        raise LoopMisused("a text is no list of items: give job.batches a list, or a function (after_key, size)")
    if not isinstance(source, Iterable):
        hint = "; an async iterable cannot be walked here" if hasattr(source, "__aiter__") else ""
        raise LoopMisused(
            f"job.batches takes an iterable or a function (after_key, size), not {type(source).__name__}{hint}"
        )
