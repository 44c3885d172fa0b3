"""What stands behind the question mark of an address, checked as strictly as a body."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping
from urllib.parse import urlencode

import falcon

from runner.errors import FieldFault, InvalidFields
from runner.job import JobStatus
from web.faults import unknown_field
from web.visible import visible

MAX_LIMIT = 1000

LIST_FILTERS = ("status", "type", "groupWaId", "archived", "limit", "cursor")
CANCEL_FLAGS = ("force", "dryRun")

PARAMETERS: Mapping[str, Collection[str]] = {
    "GET /admin/jobs": LIST_FILTERS,
    "POST /admin/jobs/{job_id}/cancel": CANCEL_FLAGS,
    "GET /admin/members": ("groupWhatsappId", "userWhatsappId", "role", "limit", "cursor"),
    "GET /admin/lists/whitelist": ("groupId",),
    "GET /admin/removalHistory": ("groupWaId", "limit", "cursor"),
    "GET /admin/removalQueue": ("groupWaId", "limit", "cursor"),
    "DELETE /admin/removalQueue": ("groupWaId", "all"),
}
"""What the calls under ``/admin`` take behind the question mark; those that are not here take nothing."""

_JOB_CURSOR = re.compile(r"([0-9]{1,16})\.([0-9A-Za-z_]{1,64})")
_ROW_CURSOR = re.compile(r"([0-9]{1,18})")


class KnownParameters:
    """Each call under ``/admin`` refuses what it does not know, whether it reads parameters or not: a filter that is
    misspelt must not become no filter, nor a flag no flag. Webhooks and probes ignore them: gateways add some.
    """

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: object, params: dict[str, str]
    ) -> None:
        template = req.uri_template or ""
        if template.startswith("/admin/") and hasattr(resource, f"on_{req.method.lower()}"):
            read_query(req, PARAMETERS.get(f"{req.method} {template}", ()))


def read_query(req: falcon.Request, known: Collection[str]) -> dict[str, str]:
    """The parameters, each given once and with a value.

    Raises InvalidFields for unknown ones too: a filter that is misspelt must not become no filter.
    """
    faults = []
    for name, value in req.params.items():
        if name not in known:
            faults.append(unknown_parameter(name, known))
        elif isinstance(value, list):
            faults.append(FieldFault(name, f"{name} is given {len(value)} times; give it once{_one_of(name)}"))
        elif not value.strip():
            faults.append(FieldFault(name, f"{name} is empty; leave it out, or give it a value{_one_of(name)}"))
    if faults:
        raise InvalidFields(faults)
    return {name: value for name, value in req.params.items() if isinstance(value, str)}


def read_flag(query: Mapping[str, str], name: str) -> bool:
    """Raises InvalidFields for anything but true and false: a flag that is misread would be a real act."""
    given = query.get(name, "false")
    if given not in ("true", "false"):
        raise InvalidFields.one(name, f"{name} must be true or false")
    return given == "true"


def unknown_parameter(name: str, known: Collection[str]) -> FieldFault:
    if known:
        fault = unknown_field(name, known)
        return FieldFault(fault.field, fault.message.replace("Unknown field", "Unknown parameter", 1))
    return FieldFault(visible(name, 80), f'Unknown parameter "{visible(name, 80)}"; there are none here')


def read_status(given: str | None) -> JobStatus | None:
    """The filter by status. Raises InvalidFields, naming the allowed values, for anything but exactly one of them."""
    if given is not None and given not in set(JobStatus):
        raise InvalidFields.one("status", f"status must be given once{_one_of('status')}")
    return None if given is None else JobStatus(given)


def _one_of(name: str) -> str:
    return f", as one of: {', '.join(status.value for status in JobStatus)}" if name == "status" else ""


def read_archived(given: str | None) -> bool | None:
    """``true``: jobs of the archive as well (None, any); ``only``: these alone. Raises InvalidFields."""
    found = {None: False, "false": False, "true": None, "only": True}
    if given not in found:
        raise InvalidFields.one("archived", "archived must be true, false or only")
    return found[given]


def read_limit(given: str | None) -> int:
    """How many a page shows, 1 to 1000; 1000 where nothing is said."""
    if given is None:
        return MAX_LIMIT
    if not re.fullmatch(r"[0-9]{1,4}", given, re.ASCII) or not 1 <= int(given) <= MAX_LIMIT:
        raise InvalidFields.one("limit", f"limit must be a whole number from 1 to {MAX_LIMIT}")
    return int(given)


def write_cursor(*parts: int | str) -> str:
    """Where a page ended. Opaque to clients."""
    return base64.urlsafe_b64encode(".".join(map(str, parts)).encode()).decode().rstrip("=")


def read_job_cursor(given: str | None) -> tuple[int, str] | None:
    """(created_at, id). Raises InvalidFields for what ``write_cursor`` did not write."""
    found = None if given is None else _opened(given, _JOB_CURSOR)
    return None if found is None else (int(found[1]), found[2])


def read_row_cursor(given: str | None) -> int | None:
    """The id of a row. Raises InvalidFields for what ``write_cursor`` did not write."""
    found = None if given is None else _opened(given, _ROW_CURSOR)
    return None if found is None else int(found[1])


def link_next(resp: falcon.Response, path: str, query: Mapping[str, str], cursor: str) -> None:
    """Says where the next page is."""
    resp.append_link(f"{path}?{urlencode({**query, 'cursor': cursor})}", rel="next")


def _opened(given: str, form: re.Pattern[str]) -> re.Match[str]:
    try:
        padded = given.encode("ascii") + b"=" * (-len(given) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except ValueError:  # also what base64 and the decoders raise
        text = ""
    found = form.fullmatch(text)
    if found is None:
        raise InvalidFields.one("cursor", "cursor is broken; take it from the Link header of the page before")
    return found
