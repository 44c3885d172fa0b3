"""``JobConfig``: what a job of a type takes, on the wire and as Python values; its secrets are kept apart."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, Secret, SecretBytes, SecretStr
from pydantic.alias_generators import to_camel
from pydantic_core import to_jsonable_python

from runner.job import JsonDict

MASK = "**********"
"""What stands for a secret wherever a config is kept or shown."""

Path = list[str | int]
Secrets = list[tuple[Path, Any]]
"""Each secret of a config: the names and numbers that lead to it on the wire, and what it is."""

_SECRET = (Secret, SecretStr, SecretBytes)


class JobConfig(BaseModel):
    """What a job of a type takes: snake_case here, camelCase on the wire, nothing but what is declared.

    Strict: a string is not a number, a boolean is not a number, ``null`` is a value only where the type allows it.
    A ``SecretStr``, ``SecretBytes`` or ``Secret`` reaches the job whole, and is kept apart from the rest.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    def on_wire(self) -> JsonDict:
        """The config as the client sees it: camelCase, absent values absent, secrets as ten asterisks."""
        shown: JsonDict = _masked(self, self.model_dump(mode="json", by_alias=True))
        return shown

    def secrets(self) -> Secrets:
        """What ``on_wire`` leaves out, for ``from_wire``."""
        return list(_secrets_in(self, self.model_dump(mode="json", by_alias=True), []))

    @classmethod
    def from_wire(cls, data: JsonDict, secrets: Iterable[Sequence[Any]] = ()) -> Self:
        """The config again; as JSON, since only there does a strict model take a text for a time, a list for a set."""
        return cls.model_validate_json(json.dumps(with_secrets(data, secrets)), by_alias=True, by_name=False)


def with_secrets(data: JsonDict, secrets: Iterable[Sequence[Any]]) -> JsonDict:
    """A config as it came, with its secrets in their places."""
    if not (given := list(secrets)):
        return data
    whole: JsonDict = json.loads(json.dumps(data))
    for path, secret in given:
        place: Any = whole
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = secret
    return whole


def is_masked(value: Any) -> bool:
    """Whether a kept config has a secret in it, which is kept elsewhere."""
    if isinstance(value, dict):
        return any(map(is_masked, value.values()))
    return any(map(is_masked, value)) if isinstance(value, list) else value == MASK


def lacks_secret(config: BaseModel) -> bool:
    """Whether a secret of it is nothing but its mask: kept by a version that did not keep them."""
    return any(value == MASK for _, value in _secrets_in(config, config.model_dump(mode="json", by_alias=True), []))


def secret_names(model: type[BaseModel]) -> set[str]:
    """The fields, as clients write them, that hold a secret somewhere."""
    return {field.alias or name for name, field in model.model_fields.items() if _holds_secret(field.annotation, set())}


def _holds_secret(annotation: Any, seen: set[Any]) -> bool:
    if isinstance(annotation, type) and not get_args(annotation):
        if issubclass(annotation, _SECRET):
            return True
        if not issubclass(annotation, BaseModel) or annotation in seen:
            return False
        seen.add(annotation)
        return any(_holds_secret(field.annotation, seen) for field in annotation.model_fields.values())
    origin = getattr(annotation, "__origin__", None)
    if isinstance(origin, type) and issubclass(origin, _SECRET):
        return True
    return any(_holds_secret(part, seen) for part in get_args(annotation))


def _parts(value: Any, dumped: Any) -> Iterator[tuple[str | int, Any, Any]]:
    """(name or number, value, what is dumped of it) of what is inside a value."""
    if isinstance(value, BaseModel) and isinstance(dumped, dict):
        for name, field in type(value).model_fields.items():
            wire = field.serialization_alias or field.alias or name
            if wire in dumped:
                yield wire, getattr(value, name), dumped[wire]
    elif isinstance(value, Mapping) and isinstance(dumped, dict) and len(value) == len(dumped):
        for (key, shown), inside in zip(dumped.items(), value.values(), strict=True):
            yield key, inside, shown
    elif isinstance(value, (Sequence, AbstractSet)) and isinstance(dumped, list) and len(value) == len(dumped):
        for number, (inside, shown) in enumerate(zip(value, dumped, strict=True)):
            yield number, inside, shown


def _secrets_in(value: Any, dumped: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, _SECRET):
        yield path, to_jsonable_python(value.get_secret_value())
        return
    for part, inside, shown in _parts(value, dumped):
        yield from _secrets_in(inside, shown, [*path, part])


def _masked(value: Any, dumped: Any) -> Any:
    """Without what is None by default, and with a mask for each secret, however short and however it dumps itself."""
    if isinstance(value, _SECRET):
        return MASK
    if not isinstance(dumped, (dict, list)):
        return dumped
    changed: Any = dumped.copy()
    absent = _absent(value) if isinstance(value, BaseModel) else ()
    for part, inside, shown in _parts(value, dumped):
        changed[part] = _masked(inside, shown)
    for part in absent:
        changed.pop(part, None)
    return changed


def _absent(value: BaseModel) -> list[str]:
    fields = type(value).model_fields
    return [
        field.serialization_alias or field.alias or name
        for name, field in fields.items()
        if getattr(value, name) is None and not field.is_required() and field.get_default() is None
    ]
