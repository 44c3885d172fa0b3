"""``python -m web [--demo]``: the server; what it is and its exit codes are in ``web/server.py``."""

from __future__ import annotations

import signal
import sys


def run() -> int:
    # Loading all of it takes a second. Ctrl-C then ends the process as it does any program, without a trace; so it does
    # until Draining listens: whatever was begun is taken up by the next start, as after a kill.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from web.server import main

    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(run())
