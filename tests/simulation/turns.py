"""Who goes on next, and what time it is: one thread of the simulation runs at a time, and the seed says which.

An actor is a thread that gives its turn away at each seam (``pause``) and sleeps until it has the next one. Time
stands still while somebody computes, creeps at each seam, and jumps when everybody sleeps.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from runner.clock import Clock

STICKY = 0.6
"""How likely an actor that could go on does so: long stretches and quick changes both find something."""

LONGEST_CREEP = 0.0006
_STUCK_SECONDS = 60.0
_MOST_STEPS = 60_000
_EPOCH_MS = 1_750_000_000_000
_TRACE = 400


class Unwound(BaseException):
    """Raised in an actor that was killed, at each seam it still reaches: nothing it does from then on has an effect."""


class SimulationStuck(Exception):
    """The simulation itself hangs, or a run never ends."""


@dataclass(frozen=True)
class Step:
    """One line of the trace: at a seam, or said by somebody."""

    number: int
    at: float
    who: str
    what: str

    def __str__(self) -> str:
        return f"{self.number:6d} {self.at:10.4f} {self.who:<22} {self.what}"


class Actor:
    """A thread with its place in the order of turns. ``frozen``: it gets no turn until it is not (SIGSTOP)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.until = 0.0
        self.ready: Callable[[], bool] | None = None
        self.frozen = self.doomed = self.over = False
        self.turn = threading.Lock()
        self.turn.acquire()

    def may_go_on(self, now: float) -> bool:
        if self.doomed:
            return True
        if self.frozen:
            return False
        return self.until <= now or (self.ready is not None and self.ready())


class Turns:
    """The order of turns of one simulated run. The thread that makes it is the first actor, the director."""

    def __init__(self, seed: object) -> None:
        self.chance = random.Random(f"turns {seed}")
        self.now = 0.0
        self.wall_shift = 0.0
        self.boot = 0
        self.booted_at = -1000.0
        self.steps = 0
        self.trace: list[Step] = []
        self.digest = 0
        self.director = Actor("director")
        self.current = self.director
        self.is_over: Callable[[], bool] = lambda: False
        self._actors = [self.director]
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._error: BaseException | None = None
        self._ending = False

    # -- time ------------------------------------------------------------------------------------------------

    def clock(self) -> Clock:
        """The time as it is since the last boot of the machine."""
        return Clock(self.now_ms, lambda: self.now - self.booted_at, f"boot {self.boot}")

    def now_ms(self) -> int:
        return _EPOCH_MS + int((self.now + self.wall_shift) * 1000)

    def at(self, when: float, act: Callable[[], None]) -> None:
        """``act`` happens then; it has no seams."""
        heapq.heappush(self._timers, (when, next(self._count), act))

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        self.at(self.now + seconds, act)

    # -- actors ----------------------------------------------------------------------------------------------

    def spawn(self, name: str, act: Callable[[], object], ended: Callable[[], None] = lambda: None) -> Actor:
        """``act`` in an actor of its own. ``ended``: called without seams when it has returned; not when unwound."""
        actor = Actor(name)

        def live() -> None:
            actor.turn.acquire()
            try:
                if not actor.doomed:
                    act()
                    if not actor.doomed:
                        ended()
            except Unwound:
                pass
            except BaseException as error:
                if not actor.doomed:
                    self._error = self._error or error
            actor.over = True
            self._actors.remove(actor)
            self._give(self._next(actor))

        self._actors.append(actor)
        threading.Thread(target=live, name=name, daemon=True).start()
        return actor

    def doom(self, actor: Actor) -> None:
        """The actor does nothing any more but unwind."""
        actor.doomed = True

    def check(self) -> None:
        """Raises Unwound in an actor that was killed."""
        if self.current.doomed:
            raise Unwound

    def pause(self, seam: str, *, until: float = 0.0, ready: Callable[[], bool] | None = None) -> None:
        """A seam: others may go on here, until ``until`` or as soon as ``ready()``."""
        me = self.current
        if me.doomed:
            raise Unwound
        self.say(seam)
        me.until, me.ready = until, ready
        self._hand_on(me)
        if me.doomed:
            raise Unwound

    def sleep(self, seconds: float) -> None:
        self.pause("sleep", until=self.now + seconds)

    def direct(self, *, steps: float = math.inf, seconds: float = math.inf, until: Callable[[], bool] = bool) -> None:
        """The director lets the others go on: for so many steps, so long, or until something is true."""
        me, last_step = self.director, self.steps + steps
        me.until, me.ready = self.now + seconds, lambda: self.steps >= last_step or until()
        self._hand_on(me)
        if self._error is not None:
            raise self._error

    def say(self, what: str, who: str = "") -> None:
        self.trace.append(Step(self.steps, self.now, who or self.current.name, what))
        self.digest = zlib.crc32(what.encode(), self.digest)
        if len(self.trace) > 4 * _TRACE:
            del self.trace[:-_TRACE]

    def end(self) -> None:
        """Unwinds everybody."""
        self._ending = True
        for actor in self._actors[1:]:
            self.doom(actor)
        self.director.until, self.director.ready = math.inf, lambda: len(self._actors) == 1
        self._hand_on(self.director)

    # -- the order -------------------------------------------------------------------------------------------

    def _hand_on(self, me: Actor) -> None:
        following = self._next(me)
        if following is me:
            return
        self._give(following)
        if me is not self.director:
            me.turn.acquire()
            return
        steps = -1
        while not me.turn.acquire(timeout=_STUCK_SECONDS):
            if steps == self.steps:
                raise SimulationStuck(f"{self.current.name} does not give its turn away")
            steps = self.steps

    def _give(self, following: Actor) -> None:
        self.current = following
        following.turn.release()

    def _next(self, me: Actor) -> Actor:
        self.steps += 1
        self.now += self.chance.random() * LONGEST_CREEP
        if self.steps > _MOST_STEPS and self._error is None:
            self._error = SimulationStuck("the run does not come to an end")
        if not self._ending and (self._error is not None or self.is_over()):
            return self.director
        while True:
            if not self._ending:
                self._ring_timers()
            able = [actor for actor in self._actors if actor.may_go_on(self.now)]
            if able:
                break
            self._jump()
        if me in able and not me.over and self.chance.random() < STICKY:
            return me
        return able[0] if len(able) == 1 else self.chance.choice(able)

    def _ring_timers(self) -> None:
        while self._timers and self._timers[0][0] <= self.now:
            heapq.heappop(self._timers)[2]()

    def _jump(self) -> None:
        """Everybody sleeps: on to the next moment at which something happens."""
        times = [actor.until for actor in self._actors if not actor.frozen and actor.until > self.now]
        times += [self._timers[0][0]] if self._timers else []
        moment = min(times, default=math.inf)
        if moment == math.inf:
            self._error = self._error or SimulationStuck("everybody waits for somebody else")
            self.director.until = self.now
        else:
            self.now = max(self.now, moment)
