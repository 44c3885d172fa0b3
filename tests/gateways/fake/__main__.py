"""The fake as a process: ``python -m tests.gateways.fake FOLDER [--port N]``; ends with its stdin, or at SIGTERM."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.gateways.fake.server import FakeServer


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.gateways.fake")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args(arguments)
    with FakeServer(given.folder, given.port) as fake:
        print(fake.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1:])
