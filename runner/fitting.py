"""What of a commit can be kept: the rest never stops it, but is a fault of which its job fails afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from runner.job import JsonDict
from runner.storable import NotStorable, fit, storable
from runner.stores.batches import LedgerItem

Faults = list[NotStorable]
LONGEST_KEY = 200


def fitted_items(items: Iterable[LedgerItem], names: Mapping[str, str], faults: Faults) -> list[LedgerItem]:
    """The items as they can be kept. ``names``: under which keys those intended before are kept."""
    found = [_fitted_item(item, faults) for item in items]
    kept = stored_names([item.key for item in found], names)
    by_name: dict[str, LedgerItem] = {}
    for item in found:
        if item.key in by_name:
            faults.append(NotStorable("an outcome", f"another one of its batch has its key {item.key!r}"))
        by_name.setdefault(item.key, replace(item, key=kept[item.key]))
    return list(by_name.values())


def stored_names(keys: Iterable[str], known: Mapping[str, str]) -> dict[str, str]:
    """key -> under which it is kept: two that become the same without their half characters stay two."""
    given = list(keys)
    found = dict(known)
    used = set(found.values()) | {key for key in given if storable(key) == key}
    for key in given:
        if key in found:
            continue
        number, new = 1, storable(key)
        while new != key and new in used:
            number += 1
            new = f"{storable(key)}~{number}"
        found[key] = new
        used.add(new)
    return found


def fitted_values(result: object, position: Any, faults: Faults) -> JsonDict:
    """What of them can be written; what cannot is not in it, and stays in the store as it was before."""
    values: JsonDict = {}
    try:
        values["result"] = fit("the result", result)
    except NotStorable as fault:
        faults.append(fault)
    try:
        values["position"] = fit_position(position)
    except NotStorable as fault:
        faults.append(fault)
    return values


def fit_position(position: Any) -> Any:
    """Kept exactly, half characters too: nobody reads it but the job that goes on there."""
    return fit("the position", position, exact=True)


def _fitted_item(item: LedgerItem, faults: Faults) -> LedgerItem:
    key = _text_of("the key of an item", item.key, faults) or ""
    if len(key) > LONGEST_KEY:
        faults.append(NotStorable("the key of an item", f"it has more than {LONGEST_KEY} characters"))
        key = key[:LONGEST_KEY]
    outcome = _text_of("an outcome", item.outcome, faults)
    try:
        data = fit("what belongs to an item", item.data)
    except NotStorable as fault:
        faults.append(fault)
        data = {}
    known = (key, storable(outcome) if outcome else outcome, data)
    return item if known == (item.key, item.outcome, item.data) else replace(item, key=key, outcome=known[1], data=data)


def _text_of(what: str, value: Any, faults: Faults) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, int):
        faults.append(NotStorable(what, f"it is a {type(value).__name__} and no text"))
        return f"a {type(value).__name__}"
    return str(value) if abs(value) < 2**64 else "a number"
