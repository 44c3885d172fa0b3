"""Everything that can go wrong, as facts.

RunnerError
├── InvalidFields            a request's fields are missing or wrong          (400)
├── NotFound                 JobNotFound, GroupNotFound, MemberNotFound, TokenNotFound   (404)
├── Conflict                                                                  (409)
│   ├── JobFinished          the job has ended (and was not cancelled)
│   ├── JobLive              the job has not ended yet
│   ├── NotForThatState      the job cannot be paused, resumed or retried as it stands
│   ├── RetriedAlready       another job has gone on where this one stopped
│   ├── LockBusy             another live job holds the lock, and the caller would not wait
│   ├── UnmatchedAuthors     an import left authors that could not be matched to members
│   ├── ListRefused          the gateway's list of a group is not taken: it cannot be true, or is of no such group
│   └── TokenNameTaken       a token of that name is not revoked yet
├── KeyReused                an idempotency key came back with another body    (422)
├── TooManyJobs              the limit of waiting jobs is reached              (429)
├── GatewayRefused           the gateway does not take our key, or our request (502)
├── Unavailable                                                               (503)
│   ├── StoreUnavailable     the database does not answer
│   │   ├── DatabaseLost     its file was removed or replaced while the server runs
│   │   └── LeaseOver        the server has not renewed this run's lease: it starts nothing until it does
│   ├── GatewayUnavailable   the gateway does not answer, or is not connected
│   ├── NoBirths             no process can be started
│   ├── Draining             the server is going down
│   └── StoppingUnrecorded   the process is being stopped, but the store could not record it
├── LoopMisused              a workflow's loop cannot be walked so that a later run finds its place (in a job)
└── RunSuperseded            this run is no longer the one that may write (inside a job's process only)

Each class writes its own message from the facts it is given; the HTTP status is chosen in ``web.errors``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class RunnerError(Exception):
    """The root of all errors that a caller may see."""


@dataclass(frozen=True)
class FieldFault:
    """One thing wrong with one field: its name on the wire and a sentence with the limit."""

    field: str
    message: str


class InvalidFields(RunnerError):
    """A request's fields are missing or wrong; ``faults`` has all of them, the first decides the message."""

    def __init__(self, faults: Sequence[FieldFault]) -> None:
        super().__init__(faults[0].message)
        self.faults = tuple(faults)

    @classmethod
    def one(cls, field: str, message: str) -> InvalidFields:
        return cls([FieldFault(field, message)])


class NotFound(RunnerError):
    """What was named does not exist."""


class JobNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("Job not found")


class GroupNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__(
            "Group not found: take it in first, with 'runner ingest GROUP' from its gateway or with "
            "'runner import members FILE --group GROUP'"
        )


class MemberNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("Member not found in this group")


class TokenNotFound(NotFound):
    """Does not repeat what was given: it might be a token, pasted in the place of its name."""

    def __init__(self) -> None:
        super().__init__("There is no token of that name or id that could be revoked; 'runner token list' shows them")


class Conflict(RunnerError):
    """The thing exists, but is not in a state for this."""


class JobFinished(Conflict):
    def __init__(self, status: str) -> None:
        super().__init__(f"Job cannot be cancelled (current status: {status})")


class JobLive(Conflict):
    def __init__(self, status: str) -> None:
        super().__init__(f"Job is not finished (current status: {status}); cancel it first")


class NotForThatState(Conflict):
    """``verb``: paused, resumed, retried; ``state``: what the job is."""

    def __init__(self, verb: str, state: str) -> None:
        super().__init__(f"Job cannot be {verb}: it is {state}")


class RetriedAlready(Conflict):
    def __init__(self, job_id: str) -> None:
        super().__init__(f"This job was retried already, as {job_id}; retry that one when it has ended")
        self.job_id = job_id


class LockBusy(Conflict):
    def __init__(self, job_id: str) -> None:
        super().__init__(f"Another job is already at work there: {job_id}; leave out ifBusy to wait for it")
        self.job_id = job_id


class UnmatchedAuthors(Conflict):
    """``names``: some of them; at most five are shown, each at most 60 characters long."""

    def __init__(self, count: int, names: Sequence[str] = ()) -> None:
        shown = ", ".join(name[:60] for name in names[:5])
        more = ", …" if shown and count > len(names[:5]) else ""
        named = f" ({shown}{more})" if shown else ""
        who = "1 author" if count == 1 else f"{count} authors"
        matched = "is not matched to a member" if count == 1 else "are not matched to members"
        super().__init__(
            f"{who} of imported messages {matched}{named}, so active people could be removed; answer with 'runner "
            'import chat --match-names ask\', or start with ignoreUnmatched=true (in JSON: "ignoreUnmatched": true)'
        )
        self.count = count


class VotesUnseen(Conflict):
    """A real run by silence where nobody would have seen that somebody votes. ``why``: a sentence."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"{why}, so whoever only votes would be removed; start with --ignore-votes "
            '(in JSON: "ignoreVotes": true) if they are to count as silent'
        )


class ListRefused(Conflict):
    """``why``: a whole sentence or more."""

    def __init__(self, why: str) -> None:
        super().__init__(why)


class TokenNameTaken(Conflict):
    def __init__(self, name: str) -> None:
        super().__init__(f"There is a token named {name} already: take another name, or revoke that one first")


class GatewayRefused(RunnerError):
    def __init__(self, why: str) -> None:
        super().__init__(f"The gateway refused: {why}")


class KeyReused(RunnerError):
    def __init__(self) -> None:
        super().__init__("Idempotency-Key was used before with another body")


class TooManyJobs(RunnerError):
    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} jobs are waiting already (RUNNER_MAX_PENDING); try again when some have run")


class Unavailable(RunnerError):
    """It cannot be done now; ``retry_after`` seconds later it may."""

    retry_after = 5


class StoreUnavailable(Unavailable):
    def __init__(self, cause: str) -> None:
        super().__init__(f"The database does not answer: {cause}")


class DatabaseLost(StoreUnavailable):
    """``why``: what was found in place of the file."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(
            f"{path} was removed or replaced while the server runs ({why}). Nothing is written any more, and running "
            "jobs are stopped: stop the server, put the right file back, or a backup, and start it again"
        )
        self.why = why


class LeaseOver(StoreUnavailable):
    def __init__(self) -> None:
        super().__init__("the run's lease was not renewed")


class GatewayUnavailable(Unavailable):
    def __init__(self, why: str, retry_after: float | None = None) -> None:
        super().__init__(f"The gateway cannot be asked now: {why}")
        if retry_after is not None:
            self.retry_after = max(1, int(retry_after))


class NoBirths(Unavailable):
    def __init__(self, why: str) -> None:
        super().__init__(f"No job can be started now: {why}; the server keeps trying to mend that")


class Draining(Unavailable):
    def __init__(self) -> None:
        super().__init__("The server is going down; start the job again when it is back")


class StoppingUnrecorded(Unavailable):
    """A cancel that could not be written: the process is stopped all the same (design, rules at the edges 4)."""

    retry_after = 2

    def __init__(self, journalled: bool) -> None:
        kept = "it is kept in the journal" if journalled else "the journal failed too: repeat the cancel"
        super().__init__(f"The job is being stopped, but the database could not record it yet; {kept}")
        self.journalled = journalled


class LoopMisused(RunnerError, ValueError):
    """A workflow asks for batches, or names what is in them, in a way that no later run could go on with."""

    def __init__(self, why: str) -> None:
        super().__init__(why)


class RunSuperseded(RunnerError):
    """The job was claimed again, or its lease ran out: this run may write nothing and must end."""

    def __init__(self, job_id: str, epoch: int) -> None:
        super().__init__(f"run {epoch} of {job_id} is no longer the current one")


class StopRequested(RunnerError):
    """A stop was asked for, so no further intent is written. Turned into ``JobStopped`` by the context."""
