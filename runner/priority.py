"""Jobs give way to who supervises them: to lower one's own priority takes no privilege.

A job does so once it has run for a second, so that its start is as quick as ever, also beside twenty that compute.
Where the kernel schedules by sessions (autogroup), a nice value counts only among those of one session, so each job,
which has one of its own, would weigh as much as the whole server: the session's own value is lowered as well. All who
are not root may do this ten times a second together, so it may have to be tried again.
"""

from __future__ import annotations

import contextlib
import errno
import os

from runner.proc import descendants

NICE = 10
"""Ten counts about a tenth of nought, where both want to run; where nobody else wants to, it changes nothing."""

CGROUP_WEIGHT = "10"
"""Of all jobs together, where the cpu controller is delegated: a server weighs 100."""


def give_way() -> bool:
    """Lowers this process and all below it, and so all that they start later. False: it is to be tried again."""
    own = os.getpid()
    done = True
    for pid in [own, *descendants(own)]:
        with contextlib.suppress(OSError):  # gone meanwhile
            for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
                _lower(int(thread))
        done = _lower_session(pid) and done
    return done


def _lower(thread: int) -> None:
    with contextlib.suppress(OSError):
        if os.getpriority(os.PRIO_PROCESS, thread) < NICE:
            os.setpriority(os.PRIO_PROCESS, thread, NICE)


def _lower_session(pid: int) -> bool:
    try:
        descriptor = os.open(f"/proc/{pid}/autogroup", os.O_WRONLY)
    except OSError:  # no such thing here
        return True
    try:
        os.write(descriptor, str(NICE).encode())
    except OSError as error:
        return error.errno != errno.EAGAIN
    finally:
        os.close(descriptor)
    return True
