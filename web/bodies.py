"""Bodies: strict JSON objects, and nothing else. Whatever is sent is answered with a sentence, never with a 500."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, NoReturn

import falcon

from runner.errors import InvalidFields
from runner.job import JsonDict
from web.visible import visible

MAX_BYTES = 65_536
MAX_DEPTH = 16
MAX_NUMBER = 2**53 - 1
"""Beyond it a whole number is not the same in every reader of JSON."""

_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def read_object(req: falcon.Request) -> JsonDict:
    """The request's JSON object.

    At most 64 KiB of UTF-8, as ``application/json``. Raises HTTPUnsupportedMediaType, HTTPContentTooLarge,
    HTTPBadRequest, and InvalidFields where the fault can be laid at one field's door.
    """
    _require_json(req)
    return parse_object(_read(req))


def read_optional_object(req: falcon.Request) -> JsonDict:
    """As ``read_object``; no content at all is an empty object, whatever type it claims to be."""
    return read_object(req) if _read_length(req) else {}


def parse_object(raw: bytes) -> JsonDict:
    """``raw`` as a JSON object whose every value can be stored, compared and sent back."""
    parsed = _parse(_decode(raw))
    if not isinstance(parsed, dict):
        _refuse("The body must be a JSON object: { … }")
    for path, value, depth in _walk(parsed):
        _check_value(path, value, depth)
    return parsed


def _require_json(req: falcon.Request) -> None:
    kind, parameters = falcon.parse_header(req.content_type or "")
    charset = parameters.pop("charset", "utf-8").lower()
    if kind.lower() != "application/json" or charset not in ("utf-8", "utf8"):
        raise falcon.HTTPUnsupportedMediaType(
            description="Send the body as JSON with the header 'Content-Type: application/json'"
        )
    if (req.get_header("Content-Encoding") or "identity").lower() != "identity":
        raise falcon.HTTPUnsupportedMediaType(description="Send the body as it is, without Content-Encoding")


def _read_length(req: falcon.Request) -> int:
    try:
        return req.content_length or 0
    except falcon.HTTPError as error:
        raise falcon.HTTPBadRequest(description="Content-Length is not a number") from error


def _read(req: falcon.Request) -> bytes:
    if _read_length(req) > MAX_BYTES:
        _refuse_size()
    raw = req.bounded_stream.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        _refuse_size()
    return raw


def _decode(raw: bytes) -> str:
    if not raw.strip():
        _refuse("The body is empty; a JSON object is expected")
    if raw.startswith(_BYTE_ORDER_MARKS):
        _refuse("The body begins with a byte order mark; send plain UTF-8")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        _refuse(f"The body is not UTF-8 (byte {error.start + 1})")


def _parse(text: str) -> object:
    try:
        parsed: object = json.loads(text, object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        _refuse(f"The body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})")
    except RecursionError:
        _refuse(f"The body is nested more than {MAX_DEPTH} deep")
    except ValueError:  # Python reads no whole number of more than 4300 digits
        _refuse(f"The body has a number beyond ±{MAX_NUMBER}")
    return parsed


def _without_duplicates(pairs: list[tuple[str, Any]]) -> JsonDict:
    found: JsonDict = {}
    for name, value in pairs:
        if name in found:
            raise InvalidFields.one(visible(name, 80), f'"{visible(name, 80)}" is given twice')
        found[name] = value
    return found


def _walk(root: JsonDict) -> Iterator[tuple[str, object, int]]:
    """Each name and each value with the name of its field and its depth; no recursion, so nothing can exhaust it."""
    waiting: list[tuple[str, object, int]] = [("", root, 1)]
    while waiting:
        path, value, depth = waiting.pop()
        yield path, value, depth
        if depth > MAX_DEPTH:
            continue
        if isinstance(value, dict):
            for name, inner in value.items():
                below = (f"{path}.{name}" if path else name)[:100]  # a long name must not be copied a thousand times
                waiting += [(below, name, depth), (below, inner, depth + 1)]
        elif isinstance(value, list):
            waiting += [(f"{path}[{place}]", inner, depth + 1) for place, inner in enumerate(value)]


def _check_value(path: str, value: object, depth: int) -> None:
    field = visible(path, 80)
    if isinstance(value, dict | list) and depth > MAX_DEPTH:
        _refuse(f"The body is nested more than {MAX_DEPTH} deep")
    if isinstance(value, str) and (fault := _text_fault(value)):
        raise InvalidFields.one(field, f"{field} has {fault}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidFields.one(field, f"{field} must be a number; NaN, Infinity and what is too large are none")
    if isinstance(value, int | float) and abs(value) > MAX_NUMBER:
        raise InvalidFields.one(field, f"{field} is a number beyond ±{MAX_NUMBER}")


def _text_fault(text: str) -> str | None:
    if any(character < " " or "\x7f" <= character <= "\x9f" for character in text):
        return "a control character in it"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "half of a character in it (a surrogate without its other half)"
    return None


def _refuse(sentence: str) -> NoReturn:
    raise falcon.HTTPBadRequest(description=sentence)


def _refuse_size() -> NoReturn:
    raise falcon.HTTPContentTooLarge(description=f"The body is larger than {MAX_BYTES} bytes")
