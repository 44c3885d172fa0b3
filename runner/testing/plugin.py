"""The pytest plugin: the fixture ``assert_stop_safe``, and ``--stop-at`` to try one place alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from runner.testing.safety import Examined


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("cancellable-jobs").addoption(
        "--stop-at",
        metavar="WAY:PLACE:NUMBER",
        help="let assert_stop_safe try this place alone, as a failure has named it: kill:before_commit:3",
    )


@pytest.fixture
def assert_stop_safe(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Examined]:
    """``runner.testing.assert_stop_safe``, its world in ``tmp_path``, to be looked at after a failure."""
    from runner.testing.safety import assert_stop_safe as examine

    return partial(examine, folder=tmp_path, only=request.config.getoption("--stop-at"))
