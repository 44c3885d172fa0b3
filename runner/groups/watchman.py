"""The watchman: sees, beside the events themselves, whether they can come in at all."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from sqlalchemy import delete, select

from runner.clock import Clock, iso
from runner.errors import RunnerError
from runner.gateway import GatewayError, GroupGateway, Software, TellsVersion
from runner.groups.accounts import accounts_to_ask, secrets_of
from runner.groups.hearing import HearingRows, Limits
from runner.groups.missed import Missed, Misses
from runner.groups.refused import RefusalReport
from runner.groups.tallies import TallyRows
from runner.groups.versions import VersionRows
from runner.opening import open_gateway
from runner.settings import Settings
from runner.store import Store
from runner.stores.group_schema import webhook_messages
from runner.webhook import Outcome

log = logging.getLogger(__name__)

TOO_LARGE = "too-large"
"""Under this name events are counted that were refused for their size: theirs is in a body that nobody has read."""

BEAT_SECONDS = 5.0
_AGAIN_SECONDS = 0.5
LOOK_SECONDS = 120.0
FORGET_SECONDS = 60.0
_FORGOTTEN_AT_ONCE = 5000
_DAY_MS = 86_400_000
_FIRST_TRIES = 10


class Watchman:
    """Two threads of the server: one writes that it is there, and forgets old message ids; one asks the gateway how it
    stands, which may take longer than anybody may be without the other.
    """

    def __init__(self, settings: Settings, store: Store, clock: Clock, missed: Missed | None = None) -> None:
        """``missed``: the events that its server turned away; it writes down that there were such."""
        self._settings = settings
        self._missed = missed or Missed()
        self._store = store.hasty(1.0)
        self._clock = clock
        self._limits = Limits.of(settings)
        self._gateways: dict[str, GroupGateway] = {}
        self._refusals = RefusalReport()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=work, name=f"watchman-{work.__name__.strip('_')}", daemon=True)
            for work in (self._watch, self._keep_looking)
        ]

    def begin(self) -> None:
        """The first beat, so that whoever judges from here on finds the time without us told, however short it was.

        A locked database is waited for, ten seconds or so; after that it is told by the next beat that succeeds.
        """
        self._missed.put_off()
        for _ in range(_FIRST_TRIES):
            if self._safely(self.beat):
                return

    def end_what_is_refused(self) -> None:
        """Without its secret no event of a gateway is taken: nothing is observed by it, and none is waited for."""
        refused = {gateway: name for gateway, (name, secret) in secrets_of(self._settings).items() if not secret}
        if not refused:
            return
        with self._store.write() as tx:
            ended = HearingRows(tx, self._limits).deaf(refused)
        for line in ended:
            words = "Groups of %s are not watched any more: %s is not set, so its events are refused"
            log.warning(words, line.account, refused[line.account.partition("/")[0]])

    def start(self) -> None:
        """From here on."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Waits for what is under way, but not for a gateway that does not answer; and writes what was missed last."""
        self._over.set()
        self._missed.wake()
        for thread in self._threads:
            thread.join(2.0)
        self._safely(self.beat)

    def beat(self) -> None:
        with self._missed.taken() as misses, self._store.write() as tx:
            hearing = HearingRows(tx, self._limits)
            ended = hearing.beat(missed=misses.may_come_late)
            for gateway in sorted(misses.lost_of):
                hearing.lost_of(gateway)
            if misses.too_large:
                TallyRows(tx).add({(TOO_LARGE, Outcome.FAILED): misses.too_large})
            TallyRows(tx).refused(misses.refused)
        _complain(misses)
        if (sentence := self._refusals.add(misses.refused, time.monotonic())) is not None:
            log.warning(sentence)
        for line in ended:
            group = "never" if line.group_heard_at is None else iso(line.group_heard_at)
            words = (
                "Groups of %s are not watched any more; its last event came at %s, its last message of a group at %s"
            )
            log.warning(words, line.account, iso(line.heard_at), group)

    def look(self) -> None:
        """Asks every gateway for which there is a key, whichever removes people."""
        for account, gateway in accounts_to_ask(self._settings).items():
            self._safely(partial(self._look_at, account, gateway))

    def _look_at(self, account: str, gateway: str) -> None:
        """That it does not take our key says nothing of its own connection."""
        if account not in self._gateways:
            settings = self._settings.model_copy(update={"gateway": gateway})
            self._gateways[account] = open_gateway(settings, self._store, self._clock)
        try:
            state = self._gateways[account].connection()
        except GatewayError as error:
            log.warning("Whether %s is connected cannot be asked: %s", account, error)
            return
        told, software = self._version_of(account, state.is_open)
        with self._store.write() as tx:
            HearingRows(tx, self._limits).look(account, state.is_open)
            if told:
                VersionRows(tx).note(account, software)

    def _version_of(self, account: str, is_open: bool) -> tuple[bool, Software | None]:
        """Whether it was asked which version it is, and what it said. Not of one that is away."""
        gateway = self._gateways[account]
        if not (is_open and isinstance(gateway, TellsVersion)):
            return False, None
        return True, gateway.software()

    def forget(self) -> None:
        """Message ids that nobody sends again any more."""
        with self._store.write() as tx:
            old = webhook_messages.c.seen_at < tx.now - self._settings.webhook_memory_days * _DAY_MS
            few = select(webhook_messages.c.seen_at).where(old).order_by(webhook_messages.c.seen_at)
            until = tx.connection.execute(few.offset(_FORGOTTEN_AT_ONCE).limit(1)).scalar()
            last = old if until is None else webhook_messages.c.seen_at < until
            tx.connection.execute(delete(webhook_messages).where(last))

    def _watch(self) -> None:
        forgot = time.monotonic() - FORGET_SECONDS
        while not self._over.wait(_AGAIN_SECONDS):
            self._missed.wait(BEAT_SECONDS - _AGAIN_SECONDS)  # a removal must not be quicker than what was missed
            self._safely(self.beat)
            if time.monotonic() - forgot >= FORGET_SECONDS:
                self._safely(self.forget)
                forgot = time.monotonic()

    def _keep_looking(self) -> None:
        pause = BEAT_SECONDS
        while not self._over.wait(pause):
            self._safely(self.look)
            pause = LOOK_SECONDS

    def _safely(self, act: Callable[[], None]) -> bool:
        """Whether it was done. What cannot be done now is done the next time, as long as these threads live."""
        try:
            act()
        except RunnerError as error:
            log.debug("The watchman will try again: %s", error)
        except Exception:
            log.exception("The watchman failed; it will try again")
        else:
            return True
        return False


def _complain(misses: Misses) -> None:
    if misses.too_large and misses.lost_of:
        words = "%d events were larger than this server takes, and are lost: groups of %s are observed anew from now on"
        log.warning(words, misses.too_large, ", ".join(sorted(misses.lost_of)))
    elif misses.too_large:
        words = (
            "%d webhooks for WAHA were larger than this server takes; who sent them, and what they told, is not known"
        )
        log.warning(words, misses.too_large)
