"""Cgroups: finding ours by what the kernel tells, holding processes in one, and what dead servers have left."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from runner.cgroup import Cgroup, find_own, own_cgroup
from runner.clock import Clock
from runner.containment import Containment
from runner.job import ProcessIdentity
from runner.tree import JobTree, become_subreaper, identify, name_of_database
from tests.unit.test_proc import out_of_descriptors
from tests.waiting import wait_for

MOUNT = "31 23 0:28 {root} {point} rw,relatime shared:9 - {kind} {kind} rw\n"
DATABASE = f"sqlite:////nowhere/{os.getpid()}.db"
ANOTHER = f"sqlite:////elsewhere/{os.getpid()}.db"


def mounted(point: str, root: str = "/", kind: str = "cgroup2") -> str:
    return MOUNT.format(root=root, point=point, kind=kind)


@pytest.mark.parametrize(
    ("membership", "mounts", "expected"),
    [
        ("0::/\n", mounted("/sys/fs/cgroup"), "/sys/fs/cgroup"),
        ("0::/user.slice/a.scope\n", mounted("/sys/fs/cgroup"), "/sys/fs/cgroup/user.slice/a.scope"),
        ("4:memory:/x\n0::/y\n", mounted("/m", kind="cgroup") + mounted("/m/unified"), "/m/unified/y"),
        ("0::/docker/abc\n", mounted("/sys/fs/cgroup", root="/docker/abc"), "/sys/fs/cgroup"),
        ("0::/docker/abc/in\n", mounted("/sys/fs/cgroup", root="/docker/abc"), "/sys/fs/cgroup/in"),
        ("0::/elsewhere\n", mounted("/a", root="/docker") + mounted("/b"), "/b/elsewhere"),
        ("0::/elsewhere\n", mounted("/a", root="/docker"), None),
        ("0::/a b\n", mounted("/with\\040blank"), "/with blank/a b"),
        ("0::/gone (deleted)\n", mounted("/sys/fs/cgroup"), None),
        ("4:memory:/x\n", mounted("/m", kind="cgroup"), None),
        ("0::/\n", "", None),
    ],
)
def test_where_we_are(membership: str, mounts: str, expected: str | None) -> None:
    assert find_own(membership, mounts) == expected


@pytest.fixture
def parent() -> str:
    """Where directories may be made; the machine may have no such place."""
    found = own_cgroup()
    probe = Cgroup(f"{found}/probe-{os.getpid()}")
    may = found is not None and probe.make()
    probe.remove()
    if found is None or not may:
        pytest.skip("no cgroup v2 is delegated to whoever runs the tests")
    return found


@pytest.fixture
def cgroup(parent: str) -> Iterator[Cgroup]:
    made = Cgroup(f"{parent}/test-{os.getpid()}")
    assert made.make()
    yield made
    made.kill()
    wait_for(made.remove, "nobody is in it any more")


@pytest.fixture
def bear(cgroup: Cgroup) -> Iterator[Callable[[Callable[[], object]], int]]:
    """Starts a process that joins the cgroup and does something for ever."""
    born: list[int] = []

    def bear_one(act: Callable[[], object]) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                cgroup.join()
                while True:
                    act()
            finally:
                os._exit(1)
        born.append(pid)
        wait_for(cgroup.is_populated, "it has joined")
        return pid

    yield bear_one
    for pid in born:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def hop() -> None:
    """Forks its successor and exits, for ever."""
    if os.fork() != 0:
        os._exit(0)


def test_who_is_in_it(cgroup: Cgroup, bear: Callable[[Callable[[], object]], int]) -> None:
    assert (cgroup.pids(), cgroup.is_populated()) == ([], False)
    pid = bear(signal.pause)
    assert (cgroup.pids(), cgroup.is_populated()) == ([pid], True)
    assert not cgroup.remove(), "somebody is in it"
    below = Cgroup(f"{cgroup.path}/below")
    below.make()
    Path(below.path, "cgroup.procs").write_text(str(pid))
    assert cgroup.pids() == [pid], "also who went further down"
    assert cgroup.kill()
    wait_for(lambda: not cgroup.is_populated(), "all are gone")
    assert cgroup.pids() == []
    assert cgroup.remove(), "with what was made below it"
    assert not Path(cgroup.path).exists()


def test_one_that_is_never_there_is_killed_too(cgroup: Cgroup, bear: Callable[[Callable[[], object]], int]) -> None:
    """A chain in which each starts the next and exits: frozen, it is one process and stays that one."""
    bear(hop)
    cgroup.freeze()
    held = cgroup.pids()
    assert len(held) >= 1
    assert cgroup.pids() == held, "nobody comes or goes"
    assert cgroup.kill()
    wait_for(lambda: not cgroup.is_populated(), "all are gone")


def test_thawed_it_goes_on(cgroup: Cgroup, bear: Callable[[Callable[[], object]], int]) -> None:
    bear(hop)
    cgroup.freeze()
    held = cgroup.pids()
    cgroup.thaw()
    wait_for(lambda: cgroup.pids() != held, "the next one is born")


def test_out_of_descriptors_nobody_in_it_is_taken_for_gone(
    cgroup: Cgroup, bear: Callable[[Callable[[], object]], int]
) -> None:
    bear(signal.pause)
    with out_of_descriptors():
        assert cgroup.is_populated()
        with pytest.raises(OSError, match="Too many open files"):
            cgroup.pids()
        assert not cgroup.remove()


def tree_of(pid: int, cgroup: Cgroup, marker: str = "pipe:[0]", adopter: ProcessIdentity | None = None) -> JobTree:
    boot_id = Clock().boot_id
    return JobTree(ProcessIdentity(pid, -1, boot_id), "job", marker, adopter, cgroup=cgroup)


@dataclass(frozen=True)
class Noting(Cgroup):
    """Notes whether it was ever frozen."""

    freezes: list[str] = field(default_factory=list, compare=False)

    def freeze(self) -> None:
        self.freezes.append(self.path)
        super().freeze()


class Refusing(Cgroup):
    def kill(self) -> bool:
        raise OSError("planted")


def test_where_nobody_comes_or_goes_nobody_is_frozen(
    cgroup: Cgroup, bear: Callable[[Callable[[], object]], int]
) -> None:
    """A server that dies in the middle of it would leave them frozen."""
    noting = Noting(cgroup.path)
    pids = [bear(signal.pause) for _ in range(3)]
    wait_for(lambda: set(cgroup.pids()) == set(pids), "all have joined")
    assert set(tree_of(pids[0], noting).kill()) == set(pids)
    wait_for(lambda: not cgroup.is_populated(), "all are gone")
    assert noting.freezes == []


def test_nobody_stays_frozen_when_the_kill_fails(cgroup: Cgroup, bear: Callable[[Callable[[], object]], int]) -> None:
    pid = bear(hop)
    cgroup.freeze()
    held = cgroup.pids()
    with pytest.raises(OSError, match="planted"):
        tree_of(pid, Refusing(cgroup.path)).kill()
    wait_for(lambda: cgroup.pids() != held, "the next one is born")


class Chain:
    """Is born in one cgroup, moves to another, and goes on there: each starts the next and exits."""

    def __init__(self, cgroup: Cgroup, elsewhere: Cgroup) -> None:
        self._end, held = os.pipe()
        self.first = os.fork()
        if self.first == 0:
            try:
                os.close(self._end)
                os.setsid()
                cgroup.join()
                elsewhere.join()
                while True:
                    hop()
            finally:
                os._exit(1)
        self.marker = f"pipe:[{os.fstat(held).st_ino}]"
        os.close(held)
        os.set_blocking(self._end, False)

    def collect(self) -> bool:
        """Those who have come to this process; whether there was anybody."""
        found = False
        with suppress(ChildProcessError):
            while os.waitpid(-self.first, os.WNOHANG)[0]:
                found = True
        return found

    def is_living(self) -> bool:
        try:
            return os.read(self._end, 1) != b""
        except BlockingIOError:
            return True

    def end(self) -> None:
        wait_for(self._is_killed, "the chain is ended")
        os.close(self._end)

    def _is_killed(self) -> bool:
        with suppress(ProcessLookupError):
            os.killpg(self.first, signal.SIGKILL)
        self.collect()
        return not self.is_living()


@pytest.fixture
def chain(parent: str, cgroup: Cgroup) -> Iterator[Chain]:
    assert become_subreaper()
    found = Chain(cgroup, Cgroup(parent))
    wait_for(found.collect, "it hops")
    yield found
    found.end()


def test_a_chain_that_has_left_its_cgroup_is_not_taken_for_gone(cgroup: Cgroup, chain: Chain) -> None:
    """It may: it can write where we can. Its cgroup is empty then, and says nothing of it."""
    tree = tree_of(chain.first, cgroup, chain.marker, identify(os.getpid(), Clock().boot_id))
    wrong = 0
    for _ in range(100):
        chain.collect()
        wrong += tree.is_empty()
        assert not cgroup.is_populated()
        assert chain.is_living()
    assert wrong == 0, "said to be empty, but somebody lives"


def test_what_is_not_there_is_said_and_not_raised() -> None:
    nowhere = Cgroup("/proc/nowhere/cgroup")
    assert not nowhere.make()
    assert not nowhere.join()
    assert not nowhere.kill()
    assert (nowhere.pids(), nowhere.is_populated(), nowhere.remove()) == ([], False, True)
    nowhere.freeze()
    nowhere.thaw()


def test_what_a_dead_server_left_is_killed_and_removed(
    parent: str, cgroup: Cgroup, bear: Callable[[Callable[[], object]], int]
) -> None:
    """Of this database; of another only what is empty. What a living server has is left alone."""
    clock = Clock()
    me = identify(os.getpid(), clock.boot_id)
    assert me is not None

    def named(database: str, ticks: int) -> Cgroup:
        made = Cgroup(f"{parent}/cancellable-jobs-{name_of_database(database)}-{os.getpid()}-{ticks}")
        assert Cgroup(f"{made.path}/1").make()
        return made

    dead, of_others, living = named(DATABASE, 1), named(ANOTHER, 1), named(ANOTHER, me.start_ticks)
    pid = bear(signal.pause)
    Path(dead.path, "1", "cgroup.procs").write_text(str(pid))
    containment = Containment("auto", DATABASE, clock)
    containment.open()
    try:
        wait_for(lambda: identify(pid, clock.boot_id) is None, "what it left is dead")
        assert not Path(dead.path).exists()
        assert not Path(of_others.path).exists()
        assert Path(living.path).exists()
    finally:
        containment.close()
        living.remove()


def test_a_place_for_each_process(parent: str) -> None:
    containment = Containment("cgroup", DATABASE, Clock())
    containment.open()
    first, second = containment.place(), containment.place()
    assert containment.rung == first.rung == second.rung == "cgroup"
    assert first.cgroup is not None
    assert second.cgroup is not None
    assert first.cgroup != second.cgroup
    containment.leave(first)
    assert not Path(first.cgroup.path).exists()
    home = Path(second.cgroup.path).parent
    containment.close()
    assert not home.exists()


@pytest.mark.parametrize(("wanted", "rung"), [("subreaper", "subreaper"), ("psutil", "psutil")])
def test_a_lower_rung_can_be_asked_for(wanted: str, rung: str) -> None:
    containment = Containment(wanted, DATABASE, Clock())
    containment.open()
    place = containment.place()
    assert (containment.rung, place.rung, place.cgroup) == (rung, rung, None)
    containment.close()


@pytest.mark.parametrize("wanted", ["auto", "cgroup"])
def test_where_no_cgroup_can_be_had_the_next_rung_is_taken(
    wanted: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("runner.containment.own_cgroup", lambda: "/proc/nowhere")
    with caplog.at_level("INFO", "runner.containment"):
        containment = Containment(wanted, DATABASE, Clock())
        containment.open()
    assert containment.place().rung == "subreaper"
    assert [record.levelname for record in caplog.records] == ["INFO" if wanted == "auto" else "WARNING"]
    containment.close()
