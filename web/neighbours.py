"""The other jobs on a job's group, for whoever starts or cancels one and may not think of them."""

from __future__ import annotations

from web.client import Client, Json, NotReachable, Refused

_STATES = {"running": "is at work", "paused": "is paused", "pending": "waits"}
_MOST_SHOWN = 5


def others_on_the_group(client: Client, job: Json) -> str | None:
    """``on this group job_1 is at work and job_2 waits; runner cancel each``; None: there are none, or nobody says.

    What came before it is done: that this cannot be asked is no fault of it.
    """
    group = job.get("config", {}).get("groupWaId")
    if not isinstance(group, str):
        return None
    try:
        found = [
            f"{other['id']} {words}"
            for status, words in _STATES.items()
            for other in client.jobs(_MOST_SHOWN, status=status, groupWaId=group)
            if other["id"] != job["id"]
        ]
    except (Refused, NotReachable):
        return None
    if not found:
        return None
    return f"on this group {' and '.join(found)}; runner cancel {'each' if len(found) > 1 else 'ends it, too'}"


def outlook(client: Client, answer: Json) -> list[str]:
    """Of a start: for whom the job waits, how long it may take, and at what pace; empty where nobody says."""
    try:
        waits_for = client.status(answer["jobId"]).get("waitingFor")
    except (Refused, NotReachable):
        waits_for = None
    said = [] if waits_for is None else [f"waits for {waits_for}"]
    if "estimate" in answer:
        said.append(f"estimate: {answer['estimate'].get('words')}")
    if "pacing" in answer:
        said.append(f"pacing: {', '.join(f'{name} {value}' for name, value in answer['pacing'].items())}")
    return said
