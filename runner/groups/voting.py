"""Voting: what one job makes of it that votes may not be seen: see ``runner.groups.votes``."""

from __future__ import annotations

from runner.context import JobContext
from runner.gateway import GroupGateway, TellsVersion
from runner.groups.accounts import own_account
from runner.groups.group import Group, GroupRows
from runner.groups.versions import VersionRows
from runner.groups.votes import VoteRows
from runner.store import Transaction

_ASK_AGAIN_SECONDS = 900.0


class Voting:
    """One run's. The gateway may be another version than at the start, and a poll may have come since."""

    def __init__(
        self, job: JobContext, gateway: GroupGateway, group: Group, window_ms: int | None, *, dry_run: bool
    ) -> None:
        self._job, self._gateway, self._group, self._window_ms = job, gateway, group, window_ms
        self._matters = not dry_run and not job.options.get("ignoreVotes")
        self._asked_at: float | None = None

    def ask(self) -> None:
        """Which version it is; kept in the store, and in the result as ``gatewayVersion``."""
        account = own_account(self._job.settings)
        if account is None or not isinstance(self._gateway, TellsVersion):
            return
        self._asked_at = self._job.clock.boot_seconds()
        software = self._gateway.software()

        def note(tx: Transaction) -> None:
            self._job.result["gatewayVersion"] = str(VersionRows(tx).note(account, software))

        self._job.commit(note)

    def check(self) -> None:
        """Before a batch of a real run. Raises VotesUnseen."""
        if not self._matters:
            return
        if self._asked_at is not None and self._job.clock.boot_seconds() - self._asked_at >= _ASK_AGAIN_SECONDS:
            self.ask()
        self._job.patiently(self._check)

    def doubts(self, tx: Transaction) -> list[str]:
        """What a dry run says of it: at most one sentence."""
        told = VoteRows(tx, GroupRows(tx).by_id(self._group.id)).told(self._window_ms)
        return [told] if told else []

    def _check(self) -> None:
        with self._job.store.read() as tx:
            VoteRows(tx, GroupRows(tx).by_id(self._group.id)).check(self._window_ms)
