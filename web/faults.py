"""What pydantic found wrong, in plain sentences: the field's name on the wire, and its limit."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from runner.errors import FieldFault, InvalidFields
from web.visible import visible

Model = TypeVar("Model", bound=BaseModel)
_A_NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]+(e[-+]?[0-9]+)?", re.IGNORECASE)

_SENTENCES: dict[str, Callable[[dict[str, Any]], str]] = {
    "missing": lambda _: "is required",
    "greater_than": lambda ctx: f"must be greater than {ctx['gt']}",
    "greater_than_equal": lambda ctx: f"must be at least {ctx['ge']}",
    "less_than": lambda ctx: f"must be less than {ctx['lt']}",
    "less_than_equal": lambda ctx: f"must be at most {ctx['le']}",
    "bool_type": lambda _: "must be true or false",
    "int_type": lambda _: "must be a whole number",
    "int_from_float": lambda _: "must be a whole number",
    "float_type": lambda _: "must be a number",
    "finite_number": lambda _: "must be a number",
    "string_type": lambda _: "must be text",
    "string_too_short": lambda ctx: f"must have at least {ctx['min_length']} characters",
    "string_too_long": lambda ctx: f"must have at most {ctx['max_length']} characters",
    "list_type": lambda _: "must be a list",
    "too_short": lambda ctx: f"must have at least {ctx['min_length']} entries",
    "too_long": lambda ctx: f"must have at most {ctx['max_length']} entries",
    "dict_type": lambda _: "must be an object",
    "literal_error": lambda ctx: f"must be one of {ctx['expected']}",
    "enum": lambda ctx: f"must be one of {ctx['expected']}",
    "string_pattern_mismatch": lambda ctx: f"must look like {ctx['pattern']}",
    "value_error": lambda ctx: str(ctx["error"]),
}


class RequestBody(BaseModel):
    """What a call takes: snake_case here, camelCase on the wire; a string is not a number, nothing undeclared."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", strict=True, frozen=True, hide_input_in_errors=True
    )


def validated(model: type[Model], values: dict[str, Any], *, nulls: bool = False) -> Model:
    """``values`` as ``model``. Raises InvalidFields with every fault, in the order of the fields, unknown ones last.

    ``nulls``: null is a value where the type allows it.
    """
    known = wire_names(model)
    faults = [unknown_field(name, known) for name in values if name not in known]
    try:
        asked = {name: value for name, value in values.items() if name in known}
        valid = model.model_validate_json(json.dumps(asked), by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidFields([*faults_of(error, known), *faults]) from None
    nullish = [] if nulls else [name for name, value in asked.items() if value is None]
    faults += [FieldFault(name, f"{name} must not be null; leave it out") for name in nullish]
    faults = [*_taken_for_another(asked, valid.model_dump(mode="json", by_alias=True), ""), *faults]
    if faults:
        raise InvalidFields(in_order(faults, known))
    return valid


def _taken_for_another(asked: Any, taken: Any, field: str) -> Iterator[FieldFault]:
    """What a strict model lets through all the same: true for 1 in an enumeration, a number's text for a time."""
    if isinstance(asked, dict) and isinstance(taken, dict):
        for name in asked.keys() & taken.keys():
            yield from _taken_for_another(asked[name], taken[name], f"{field}.{name}" if field else name)
    elif isinstance(asked, list) and isinstance(taken, list) and len(asked) == len(taken):
        for number, pair in enumerate(zip(asked, taken, strict=True)):
            yield from _taken_for_another(*pair, f"{field}[{number}]")
    elif (wanted := _other_kind(asked, taken)) is not None:
        yield FieldFault(field, f"{field} must be {wanted}")


def _other_kind(asked: object, taken: object) -> str | None:
    """What was wanted, where a model took something of another kind for it."""
    is_number_taken = isinstance(taken, (int, float)) and not isinstance(taken, bool)
    is_number = isinstance(asked, (int, float)) or (isinstance(asked, str) and _A_NUMBER.fullmatch(asked.strip()))
    if isinstance(taken, bool) and not isinstance(asked, bool):
        return "true or false"
    if is_number_taken and isinstance(asked, (bool, str)) and is_number:
        return f"a number, not {'text' if isinstance(asked, str) else str(asked).lower()}"
    if isinstance(taken, str) and is_number and taken != asked and _looks_like_time(taken):
        return "a time as in 2026-11-24T08:00:00Z, not a number"
    return None


def _looks_like_time(taken: str) -> bool:
    return "T" in taken or ":" in taken or taken.count("-") > 1


def wire_names(model: type[BaseModel]) -> list[str]:
    """The model's fields as clients write them, in order."""
    return [field.alias or name for name, field in model.model_fields.items()]


def faults_of(error: ValidationError, order: list[str]) -> list[FieldFault]:
    """One fault for each field, the first that was found, in the given order of fields."""
    found: dict[str, FieldFault] = {}
    for details in error.errors(include_url=False, include_input=False):
        fault = _fault(details)
        found.setdefault(fault.field, fault)
    return in_order(found.values(), order)


def in_order(faults: Iterable[FieldFault], order: list[str]) -> list[FieldFault]:
    """Sorted by where their fields stand in ``order``; those that do not stand there come last, as they were."""
    places = {name: place for place, name in enumerate(order)}
    return sorted(faults, key=lambda fault: places.get(_root(fault.field), len(places)))


def unknown_field(name: str, known: Iterable[str]) -> FieldFault:
    shown = visible(name, 80)
    near = difflib.get_close_matches(name[:80], list(known), n=1)
    hint = f'; did you mean "{near[0]}"?' if near else ""
    return FieldFault(shown, f'Unknown field "{shown}"{hint}')


def _root(field: str) -> str:
    return field.split(".", 1)[0].split("[", 1)[0]


def _fault(details: ErrorDetails) -> FieldFault:
    field = ""
    for part in details["loc"]:
        field += f"[{part}]" if isinstance(part, int) else f".{part}" if field else str(part)
    sentence = _SENTENCES.get(details["type"])
    said = sentence(details.get("ctx") or {}) if sentence else _in_words(details["msg"])
    return FieldFault(field, said if said.startswith(f"{field} ") or not field else f"{field} {said}")


def _in_words(message: str) -> str:
    """pydantic's own message, after the name of the field."""
    for its, ours in (("Input should be ", "must be "), ("Decimal input should be ", "must be ")):
        message = message.replace(its, ours, 1)
    return message[:1].lower() + message[1:]
