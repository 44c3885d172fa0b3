"""``python -m web [--demo]``: the server; what it is and its exit codes are in ``web/server.py``.

With ``-P``, as ``runner serve`` starts it, no module of the current folder can be taken for one of ours; without, a
``web.py`` there is what Python finds first.
"""

from __future__ import annotations

import sys

from web.footing import hear_signals, open_streams, own_modules_first


def run() -> int:
    own_modules_first()
    open_streams()
    hear_signals()
    from web.server import main  # loading all of it takes a second

    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(run())
