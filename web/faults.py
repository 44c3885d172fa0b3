"""What pydantic found wrong, in plain sentences: the field's name on the wire, and its limit."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from runner.errors import FieldFault, InvalidFields
from web.visible import visible

Model = TypeVar("Model", bound=BaseModel)

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

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True, frozen=True)


def validated(model: type[Model], values: dict[str, Any]) -> Model:
    """``values`` as ``model``. Raises InvalidFields with every fault, in the order of the fields, unknown ones last."""
    known = wire_names(model)
    faults = [unknown_field(name, known) for name in values if name not in known]
    try:
        valid = model.model_validate({name: value for name, value in values.items() if name in known})
    except ValidationError as error:
        raise InvalidFields([*faults_of(error, known), *faults]) from None
    if faults:
        raise InvalidFields(faults)
    return valid


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
    said = sentence(details.get("ctx") or {}) if sentence else details["msg"][:1].lower() + details["msg"][1:]
    return FieldFault(field, said if said.startswith(f"{field} ") or not field else f"{field} {said}")
