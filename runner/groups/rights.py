"""Rights: whether those who are refused for want of them are protected, or we are not an admin after all.

A list that shows us as one may be stale. Somebody protected who is no admin is rare, so that batches in which nobody
can be removed, one after another, speak for a list that is. Of the batch that shows it nobody is given up.
"""

from __future__ import annotations

from collections.abc import Collection

from runner.gateway import WANT_OF_RIGHTS, NotAdmin, Outcome

FEW = 4
"""So many may be protected."""


class Rights:
    """As the calls of one run show them."""

    def __init__(self) -> None:
        self._refused = 0

    def check(self, outcomes: Collection[Outcome]) -> None:
        """Of one call. Raises NotAdmin when everybody of it was refused for that, as everybody of the last was, and
        they are more than FEW; nothing was done by it then.
        """
        before = self._refused
        if not outcomes or not all(one.code in WANT_OF_RIGHTS for one in outcomes):
            self._refused = 0
            return
        self._refused += len(outcomes)
        if before and self._refused > FEW:
            raise NotAdmin(
                f"WhatsApp let us remove none of {self._refused} people one after another, although the gateway's list "
                "shows us as an admin; make the number an admin of the group, or, where it is one, put whom WhatsApp "
                "protects on the whitelist, and retry the job"
            )
