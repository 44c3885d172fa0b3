"""Stacks as ``faulthandler`` writes them, read again; and where they say that a process is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import runner
from runner.clock import Clock
from runner.postmortem import MOST_BYTES, PostMortem
from runner.proc import ON_LINUX
from runner.snapshot import snapshot
from runner.stacks import read_stacks, where
from runner.tree import identify

CHILD = str(Path(runner.__file__).parent / "child.py")
WATCH = str(Path(runner.__file__).parent / "watch.py")
AROUND = f'  File "{CHILD}", line 128 in _perform\n  File "{CHILD}", line 48 in main\n  File "x", line 1 in <module>\n'
CLOCK = Clock()


def thread(number: int, *frames: tuple[str, int, str], current: bool = False, main: bool = False) -> str:
    word = "Current thread" if current else "Thread"
    lines = "".join(f'  File "{file}", line {line} in {function}\n' for file, line, function in frames)
    return f"{word} 0x{number:016x} (most recent call first):\n{lines}{AROUND if main else ''}"


@pytest.fixture
def mine(tmp_path: Path) -> str:
    """A user's module, and where it lies."""
    path = tmp_path / "mine.py"
    path.write_text(
        "def reindex():\n"
        "    hashlib.scrypt(b'x', salt=os.urandom(8))\n"  # 2
        "    number += 1\n"  # 3
        "    print(make(one).run(two).wait())\n"  # 4
        "    for row in range(10):\n"  # 5
        "        pass\n"
        "    result = client.post(\n"  # 7
        "        url,\n"
        "        json=data.encode(),\n"  # 9
        "    )\n"
        "    ways[way](job)\n"  # 11
        "    Session()\n"  # 12
    )
    return str(path)


@pytest.mark.parametrize(
    ("line", "inner", "words"),
    [
        (2, None, "in `hashlib.scrypt`, called from mine.py:2 (reindex)"),
        (3, None, "in `reindex`, at mine.py:3"),
        (4, None, "in `make().run().wait`, called from mine.py:4 (reindex)"),
        (4, "run", "in `make().run`, called from mine.py:4 (reindex)"),
        (4, "make", "in `make`, called from mine.py:4 (reindex)"),
        (4, "unheard_of", "in `unheard_of`, called from mine.py:4 (reindex)"),
        (5, None, "in `reindex`, at mine.py:5"),
        (7, "post", "in `client.post`, called from mine.py:7 (reindex)"),
        (9, "encode", "in `data.encode`, called from mine.py:9 (reindex)"),
        (11, "swallow", "in `ways[…]`, called from mine.py:11 (reindex)"),
        (12, "__init__", "in `Session`, called from mine.py:12 (reindex)"),
        (99, None, "in `reindex`, at mine.py:99"),
        (99, "post", "in `post`, called from mine.py:99 (reindex)"),
    ],
)
def test_where_it_is_in_words(mine: str, line: int, inner: str | None, words: str) -> None:
    below = [(os.__file__, 7, inner)] if inner else []
    assert where(read_stacks(thread(1, *below, (mine, line, "reindex"), main=True))) == words


def test_the_innermost_frame_of_the_users_own_is_named(mine: str) -> None:
    text = thread(
        1, (os.__file__, 1, "walk"), (mine, 3, "deep"), (os.__file__, 2, "walk"), (mine, 2, "reindex"), main=True
    )
    assert where(read_stacks(text)) == "in `walk`, called from mine.py:3 (deep)"


def test_a_workflow_among_the_libraries_is_the_users_too() -> None:
    """Installed from a package; what lies beside it is its own, what lies elsewhere is not."""
    site = f"{Path(pytest.__file__).parent.parent}/shop"
    other = f"{Path(pytest.__file__).parent.parent}/other/thing.py"
    text = thread(1, (other, 5, "send"), (f"{site}/deep.py", 3, "deep"), (f"{site}/flow.py", 2, "flow"), main=True)
    assert where(read_stacks(text)) == "in `send`, called from deep.py:3 (deep)"


def test_without_a_frame_of_the_users_the_innermost_is_named() -> None:
    assert where(read_stacks(thread(1, (os.__file__, 2, "walk"), main=True))) == "in `walk`, at os.py:2"


@pytest.mark.parametrize("source", ["def (", "x = 1\0", "", None])
def test_a_source_that_cannot_be_read_costs_only_the_name(tmp_path: Path, source: str | None) -> None:
    path = tmp_path / "odd.py"
    if source is not None:
        path.write_text(source)
    assert where(read_stacks(thread(1, (str(path), 3, "odd"), main=True))) == "in `odd`, at odd.py:3"


def test_a_source_that_is_no_plain_file_is_not_opened(tmp_path: Path) -> None:
    """A job may name what it likes as its source: to open a named pipe would wait for ever."""
    os.mkfifo(tmp_path / "pipe.py")
    assert where(read_stacks(thread(1, (str(tmp_path / "pipe.py"), 3, "odd"), main=True))) == "in `odd`, at pipe.py:3"
    assert where(read_stacks(thread(1, ("/dev/zero", 3, "odd"), main=True))) == "in `odd`, at zero:3"


@pytest.mark.skipif(not ON_LINUX, reason="there is no /proc")
def test_a_source_that_is_made_up_as_it_is_read_is_not_read(tmp_path: Path) -> None:
    """To look at, what is in ``/proc`` are plain files; to read some of them is to wait. This one could be read."""
    name = Path("/proc/self/comm")
    was = name.read_text()
    (tmp_path / "made_up.py").symlink_to(name)
    try:
        name.write_text("shop.buy()")
        for file in (tmp_path / "made_up.py", name):
            assert where(read_stacks(thread(1, (str(file), 1, "odd"), main=True))) == f"in `odd`, at {file.name}:1"
    finally:
        name.write_text(was)


def test_a_source_that_becomes_a_named_pipe_as_it_is_opened_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "swapped.py"
    path.write_text("one()\n")
    opening = os.open

    def swapped(file: str, *more: int) -> int:
        path.unlink()
        os.mkfifo(path)
        return opening(file, *more)

    monkeypatch.setattr(os, "open", swapped)
    assert where(read_stacks(thread(1, (str(path), 1, "odd"), main=True))) == "in `odd`, at swapped.py:1"


@pytest.mark.parametrize("count", [600, 12_000])
def test_of_a_long_chain_of_calls_the_end_is_named(tmp_path: Path, count: int) -> None:
    """The longest is more than Python itself can parse."""
    path = tmp_path / "chain.py"
    path.write_text("q" + ".sift()" * count + "\n")
    found = where(read_stacks(thread(1, (str(path), 1, "run"), main=True))) or ""
    assert found.endswith(".sift`, called from chain.py:1 (run)" if count == 600 else "in `run`, at chain.py:1")
    assert len(found) < 140


def test_the_main_thread_comes_first_and_without_what_is_around_a_job(mine: str) -> None:
    text = thread(2, (mine, 4, "other"), current=True) + "\n" + thread(1, (mine, 2, "reindex"), main=True)
    found = read_stacks(text).threads
    assert [stack.thread for stack in found] == ["main", f"0x{2:016x}"]
    assert found[0].frames == ((mine, 2, "reindex"),)


def test_threads_of_the_runner_are_left_out(mine: str) -> None:
    watch = thread(3, (os.__file__, 1, "poll"), (WATCH, 33, "_wait"), (os.__file__, 982, "run"))
    users = thread(2, (CHILD.replace("child", "context"), 1, "sleep"), (mine, 2, "beside"))
    text = watch + "\n" + users + "\n" + thread(1, (mine, 2, "reindex"), main=True)
    assert [stack.thread for stack in read_stacks(text).threads] == ["main", f"0x{2:016x}"]


def test_the_last_whole_report_counts(mine: str) -> None:
    """The second was cut off by a kill, in the middle of a line."""
    first = thread(2, (mine, 4, "other")) + "\n" + thread(1, (mine, 2, "first"), main=True)
    second = thread(2, (mine, 4, "other")) + "\n" + thread(1, (mine, 2, "second"), main=True)
    assert read_stacks(first + second).threads[0].frames == ((mine, 2, "second"),)
    for cut in range(1, len(AROUND)):
        frames = read_stacks(first + second[:-cut]).threads[0].frames
        assert frames in (((mine, 2, "first"),), ((mine, 2, "second"),))
    assert read_stacks(first + second[: -len(AROUND)]).threads[0].frames == ((mine, 2, "first"),)


def test_a_report_that_begins_in_the_middle_of_another_is_whole(mine: str) -> None:
    begun = thread(2, (mine, 4, "other"))[:-9]
    text = begun + thread(2, (mine, 4, "other")) + "\n" + thread(1, (mine, 2, "reindex"), main=True)
    found = read_stacks(text).threads
    assert [stack.frames for stack in found] == [((mine, 2, "reindex"),), ((mine, 4, "other"),)]


def test_of_a_report_without_the_main_thread_no_other_is_taken_for_it(mine: str) -> None:
    crowd = "\n".join(thread(number, (mine, 2, "beside")) for number in range(101, 1, -1))
    deep = thread(1, *[(mine, 4, "deep")] * 100)
    for text in (f"{crowd}\n...\n", f"{crowd}\n{deep}\n...\n", crowd):
        found = read_stacks(text)
        assert "main" not in [stack.thread for stack in found.threads]
        assert len(found.threads) >= 100
        assert where(found) is None
    whole = thread(2, (mine, 4, "other")) + "\n" + thread(1, (mine, 2, "reindex"), main=True)
    assert read_stacks(f"{whole}\n{crowd}\n...\n").threads[0].frames == ((mine, 2, "reindex"),)


def test_a_main_thread_too_deep_to_be_told_of_to_its_end_is_known(mine: str) -> None:
    text = thread(2, (mine, 4, "other")) + "\n" + thread(1, *[(mine, 2, "deep")] * 100) + "  ...\n"
    assert where(read_stacks(text)) == "in `hashlib.scrypt`, called from mine.py:2 (deep)"


@pytest.mark.parametrize(
    "text",
    [
        "Thread 0x1" * 300_000,
        "Fatal Python error: " * 150_000,
        "Thread 0x1 (most recent call first):\n" + '  File "", line 1 in ' * 150_000,
        "".join(f"Thread 0x{number:x} (most recent call first):\n" for number in range(70_000)),
        "Thread 0x1 (most recent call first):\n" + f'  File "x", line {"9" * 5000} in y\n',
    ],
    ids=["heads", "fatal", "frames", "threads", "line"],
)
def test_what_a_job_writes_into_the_file_itself_is_read_in_one_go(text: str) -> None:
    """None of these is a report; to look for one from each place to the end would take hours."""
    assert where(read_stacks(text)) is None


def test_letters_from_everywhere_come_back() -> None:
    text = thread(1, ("/caf\\xe9/\\u65e5\\U0001f600.py", 3, "gr\\xfc\\xdfe"), main=True)
    assert read_stacks(text).threads[0].frames == (("/café/日😀.py", 3, "grüße"),)
    text = thread(1, ("/\\U0010ffff\\Uffffffff.py", 3, "y"), main=True)
    assert read_stacks(text).threads[0].frames == (("/\U0010ffff\\Uffffffff.py", 3, "y"),)


def test_what_is_fatal_is_told_of_the_thread_it_happened_in(mine: str) -> None:
    text = (
        thread(1, (mine, 3, "asked_before"), main=True)
        + "Fatal Python error: Segmentation fault\n\n"
        + thread(2, (mine, 2, "beside"), current=True)
        + "\n"
        + thread(1, (mine, 4, "reindex"), main=True)
        + "\nExtension modules: a.b, c (total: 2)\n"
    )
    found = read_stacks(text)
    assert found.fatal == "Segmentation fault"
    assert found.threads[0].frames == ((mine, 4, "reindex"),)
    assert where(found) == "in `hashlib.scrypt`, called from mine.py:2 (beside)"


@pytest.mark.parametrize(
    "text", ["", "\n", "Thread 0x1", "Fatal Python error: ", "Fatal Python error: x\n", "nonsense \ufffd"]
)
def test_what_is_no_report_says_nothing(text: str) -> None:
    found = read_stacks(text)
    assert found.threads == ()
    assert where(found) is None


# -- put together ----------------------------------------------------------------------------------------------------


class Stacks:
    """The file that a process's stacks are written to, and the post-mortem that reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        me = identify(os.getpid(), CLOCK.boot_id)
        assert me is not None
        nobody = type(me)(me.pid, me.start_ticks + 1, me.boot_id)
        self.post_mortem = PostMortem(os.open(path, os.O_RDONLY), nobody, None, CLOCK)


@pytest.fixture
def stacks(tmp_path: Path) -> Iterator[Stacks]:
    made = Stacks(tmp_path / "stacks")
    yield made
    made.post_mortem.close()


FATAL = "Fatal Python error: Aborted\n\n"


def test_nobody_examined_is_nothing_known(stacks: Stacks, mine: str) -> None:
    stacks.path.write_text(thread(1, (mine, 2, "reindex"), main=True))
    assert stacks.post_mortem.known(None, list) is None


def test_who_is_gone_is_not_examined(stacks: Stacks) -> None:
    """A later process with its pid, in this case this one, is not asked: it would not survive the signal."""
    stacks.post_mortem.examine()
    assert stacks.post_mortem.known(None, list) is None


@pytest.mark.parametrize(("code", "known"), [(-6, True), (None, True), (0, False), (-9, False), (1, False)])
def test_a_fatal_report_counts_if_the_process_died_of_it(
    stacks: Stacks, mine: str, code: int | None, known: bool
) -> None:
    stacks.path.write_text(FATAL + thread(1, (mine, 2, "reindex"), current=True, main=True))
    assert (stacks.post_mortem.known(code, list) is not None) == known


def test_it_is_known_after_the_file_is_gone(stacks: Stacks, mine: str) -> None:
    stacks.path.write_text(FATAL + thread(1, (mine, 2, "reindex"), current=True, main=True))
    stacks.post_mortem.close()
    found = stacks.post_mortem.known(-6, lambda: ["last words"])
    assert found is not None
    assert found["summary"] == "in `hashlib.scrypt`, called from mine.py:2 (reindex)"
    assert found["stacks"] == [{"thread": "main", "frames": [{"file": mine, "line": 2, "function": "reindex"}]}]
    assert found["log"] == ["last words"]
    assert found["at"] <= CLOCK.now_ms()


def test_it_can_be_kept_whatever_is_in_it(stacks: Stacks) -> None:
    """Half a character as Python reads it in the name of a file, and a NUL as a program may choose one."""
    odd = ("/n\\udce9\\x00.py", 2, "r\\ud800n\\x00")
    stacks.path.write_text(FATAL + thread(1, odd, current=True, main=True))
    found = stacks.post_mortem.known(-6, lambda: ["a\0b"])
    assert found is not None
    assert found["summary"] == "in `r?n`, at n?.py:2"
    assert found["stacks"][0]["frames"] == [{"file": "/n?.py", "line": 2, "function": "r?n"}]
    assert found["log"] == ["ab"]


def test_the_least_is_bounded_too(stacks: Stacks) -> None:
    found = stacks.post_mortem.least(lambda: ["\1" * 5000] * 200)
    assert list(found) == ["at", "log"]
    assert found["log"]
    assert len(json.dumps(found)) <= MOST_BYTES


def test_the_least_is_said_without_a_log_too(stacks: Stacks) -> None:
    def lost() -> list[str]:
        raise OSError

    assert list(stacks.post_mortem.least(lost)) == ["at", "log"]


def test_it_is_bounded(stacks: Stacks) -> None:
    deep = [("/" + "long" * 50 + ".py", line, "name" * 20) for line in range(100)]
    threads = [thread(number, *deep) for number in range(2, 30)]
    text = FATAL + "\n".join([*threads, thread(1, *deep, current=True, main=True)])
    stacks.path.write_text(text)
    found = stacks.post_mortem.known(-6, lambda: ["\0" * 1_000_000] * 200)
    assert found is not None
    assert len(json.dumps(found)) <= MOST_BYTES
    assert found["stacks"][0]["thread"] == "main"
    assert len(found["stacks"][0]["frames"]) == 50
    stacks.path.write_text(FATAL + thread(1, current=True, main=True))
    found = stacks.post_mortem.known(-6, lambda: ["x" * 5000] * 200)
    assert found is not None
    assert len(json.dumps(found)) <= MOST_BYTES
    assert set(found["log"]) == {"x" * 1000}
    assert len(found["log"]) >= 25, "the last of the log is kept"


@pytest.mark.skipif(not ON_LINUX, reason="there is no /proc")
def test_names_in_it_are_bounded_too(stacks: Stacks) -> None:
    """A job may write its own report, with a function of any length."""
    stacks.path.write_text(FATAL + thread(1, ("x" * 50_000 + ".py", 2, "f" * 200_000), main=True))
    found = stacks.post_mortem.known(-6, list)
    assert found is not None
    assert len(json.dumps(found)) < 5_000


def test_a_look_at_oneself() -> None:
    found = snapshot(os.getpid())
    assert (found["state"], found["threads"] >= 1, found["cpuSeconds"] > 0) == ("R", True, True)
    assert 5 < found["memoryMb"] < 5000
    assert "waitsIn" not in found, "it runs"
    assert snapshot(os.getpid(), born_of=os.getpid())["memoryMb"] < 1


def test_a_look_at_nobody() -> None:
    assert snapshot(1 << 30).get("state") is None
