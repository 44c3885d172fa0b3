"""Why a removal cannot go on, in words that say what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from runner.errors import RunnerError
from runner.gateway import AuthFailed, BadRequest, GatewayError, GroupGone, NotAdmin, NotConnected, RateLimited

_WHAT_TO_DO: tuple[tuple[type[GatewayError], str], ...] = (
    (NotAdmin, "Make the gateway's number an admin of the group"),
    (AuthFailed, "See to the gateway's key, and start the server again with the right one"),
    (GroupGone, "Nobody can be removed from a group we are not in; have the gateway's number added again, as an admin"),
    (RateLimited, "That was so after a wait of an hour too: leave the number alone for a day, and then go more slowly"),
    (NotConnected, "Connect the gateway again"),
    (BadRequest, "See to the gateway's address and instance"),
)
_ANYTHING_ELSE = "See what the gateway's own log says"


class Halted(RunnerError):
    """The job has ended here, at once. What was done is kept, and a retry goes on with the others."""

    def __init__(self, error: GatewayError) -> None:
        said = str(error).rstrip(". ") or type(error).__name__
        advice = next((words for kind, words in _WHAT_TO_DO if isinstance(error, kind)), _ANYTHING_ELSE)
        if "retry the job" in said:  # the gateway has said already what to do
            super().__init__(f"{said}: it goes on where it stopped")
        else:
            super().__init__(f"{said}. {advice}; then retry the job: it goes on where it stopped")


class NotForCommunities(RunnerError):
    """WhatsApp's communities have no members of their own to remove."""

    def __init__(self) -> None:
        super().__init__(
            "This is a community: its people are in the groups that belong to it, and nobody can be removed from it "
            "here. Nothing was done. Start a job on each of its groups"
        )


class OnlyAdminsWrite(RunnerError):
    """Where members cannot write, nobody is silent by choice."""

    def __init__(self) -> None:
        super().__init__(
            "Only admins write in this group (it is an announcement group), so the silence of its members says nothing "
            "of them. Nobody was removed. Put those who are to go in the queue by hand and start removal_queue; or, if "
            'their silence is to count all the same, start with "ignoreAnnouncement": true'
        )


@contextmanager
def halting() -> Iterator[None]:
    """What the gateway raises beyond all tries becomes the end of the job."""
    try:
        yield
    except GatewayError as error:
        raise Halted(error) from error
