"""What a program of ours finds where it is started, put right before anything else is done.

Only what Python has loaded already is used until the path is in order: a ``json.py`` in the current folder is not ours.
"""

from __future__ import annotations

import os
import sys


def own_modules_first() -> None:
    """The current folder comes last on the path, so that a module there takes the place of none of ours.

    Workflows there are still found. Where the folder is gone, it is left out, and the program goes on in the root.
    """
    try:
        here = os.getcwd()  # noqa: PTH109
    except OSError:
        here = ""
        os.chdir("/")
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != here and entry]  # noqa: PTH100
    if here:
        sys.path.append(here)


def open_streams() -> None:
    """Stdin, stdout and stderr that were closed are open to nowhere: else the next file, a database say, would be them.

    What cannot be shown in the terminal's encoding is shown as an escape.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def hear_signals() -> None:
    """Signals that whoever started this had blocked or ignored are heard: a stop, and the end of a child.

    Not SIGHUP: ``nohup`` means it. Ctrl-C ends the process as it does any program, without a trace, until ``Draining``
    listens: whatever was begun is taken up by the next start, as after a kill.
    """
    import signal

    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
