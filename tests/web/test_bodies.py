"""Hostile bodies: each is answered 400, 413 or 415 with a sentence, and none with a 500."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import falcon
import pytest
from falcon import testing
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import InvalidFields
from web.bodies import MAX_BYTES, MAX_DEPTH, parse_object

PATH = "/admin/jobs/start"
JSON = {"Content-Type": "application/json"}

NOT_JSON = {
    "nothing": b"",
    "spaces": b"  \n",
    "a word": b"hello",
    "half an object": b'{"type": ',
    "two values": b"{} {}",
    "single quotes": b"{'type': 'walk'}",
    "a comment": b"{} // no",
    "a trailing comma": b'{"type": "walk",}',
    "null": b"null",
    "an array": b"[]",
    "a string": b'"walk"',
    "a number": b"1",
    "true": b"true",
    "60 000 brackets": b"[" * 60_000,
    "10 000 objects": b'{"a":' * 10_000,
    "one too deep": b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
    "bad UTF-8": b'{"type": "\xff\xfe"}',
    "an overlong form": b'{"type": "\xc0\xaf"}',
    "an encoded surrogate": b'{"type": "\xed\xa0\x80"}',
    "UTF-16": '{"type": "walk"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"type": "walk"}',
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "5000 digits": b'{"batchSize": ' + b"9" * 5000 + b"}",
    "raw NUL": b'{"type": "\x00"}',
    "raw newline in a string": b'{"type": "a\nb"}',
}

AT_ONE_FIELD = {
    "duplicate": (b'{"dryRun": true, "dryRun": false}', "dryRun"),
    "duplicate below": (b'{"a": {"b": 1, "b": 2}}', "b"),
    "NaN": (b'{"batchSize": NaN}', "batchSize"),
    "Infinity": (b'{"batchSize": Infinity}', "batchSize"),
    "-Infinity": (b'{"batchSize": -Infinity}', "batchSize"),
    "1e400": (b'{"batchSize": 1e400}', "batchSize"),
    "4000 digits": (b'{"batchSize": ' + b"9" * 4000 + b"}", "batchSize"),
    "2**63": (b'{"batchSize": 9223372036854775808}', "batchSize"),
    "half a character": (b'{"type": "\\ud800"}', "type"),
    "half a character in a name": (b'{"\\udfff": 1}', "\\udfff"),
    "NUL": (b'{"groupWaId": "1\\u0000@g.us"}', "groupWaId"),
    "ESC": (b'{"groupWaId": "\\u001b[2J"}', "groupWaId"),
    "C1": (b'{"groupWaId": "\\u009b2J"}', "groupWaId"),
    "CRLF": (b'{"type": "a\\r\\nX: y"}', "type"),
    "in a list": (b'{"participants": ["\\u0007"]}', "participants[0]"),
}


@pytest.mark.parametrize("name", NOT_JSON)
def test_what_is_no_json_object_is_400(client: testing.TestClient, name: str) -> None:
    answer = client.simulate_post(PATH, body=NOT_JSON[name], headers=JSON)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["error"] == answer.json["detail"] != ""


@pytest.mark.parametrize("name", AT_ONE_FIELD)
def test_what_one_field_is_to_blame_for_names_it(client: testing.TestClient, name: str) -> None:
    raw, field = AT_ONE_FIELD[name]
    answer = client.simulate_post(PATH, body=raw, headers=JSON)
    assert answer.status_code == 400, answer.text
    assert [fault["field"] for fault in answer.json["errors"]] == [field]
    assert field in answer.json["detail"]


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/json",
        "application/json; charset=latin-1",
        "application/problem+json",
        "application/jsonp",
        ";;=",
    ],
)
def test_another_content_type_is_415(client: testing.TestClient, content_type: str | None) -> None:
    answer = client.simulate_post(PATH, body=b"{}", headers={"Content-Type": content_type} if content_type else {})
    assert answer.status_code == 415
    assert "application/json" in answer.json["detail"]


def test_compressed_is_415(client: testing.TestClient) -> None:
    assert client.simulate_post(PATH, body=b"{}", headers=JSON | {"Content-Encoding": "gzip"}).status_code == 415


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'])
def test_json_in_other_words_is_taken(client: testing.TestClient, content_type: str) -> None:
    answer = client.simulate_post(PATH, body=b"{}", headers={"Content-Type": content_type})
    assert answer.json["errors"][0]["field"] == "type"


def test_64_kib_are_taken_and_a_byte_more_is_413(client: testing.TestClient) -> None:
    exactly = b'{"x":"' + b"x" * (MAX_BYTES - 8) + b'"}'
    assert len(exactly) == MAX_BYTES
    assert client.simulate_post(PATH, body=exactly, headers=JSON).status_code == 400
    answer = client.simulate_post(PATH, body=exactly + b" ", headers=JSON)
    assert (answer.status_code, answer.json["title"]) == (413, "Content Too Large")


def test_a_long_name_is_not_copied_a_thousand_times() -> None:
    raw = json.dumps({"n" * 30_000: list(range(5000))}).encode()
    assert len(parse_object(raw)) == 1


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_a_sentence(raw: bytes) -> None:
    with suppress(falcon.HTTPBadRequest, InvalidFields):
        assert isinstance(parse_object(raw), dict)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), _VALUES, max_size=4))
def test_what_is_taken_can_be_sent_back(values: dict[str, Any]) -> None:
    try:
        parsed = parse_object(json.dumps(values).encode())
    except (falcon.HTTPBadRequest, InvalidFields):
        return
    assert json.loads(json.dumps(parsed, allow_nan=False).encode()) == values
