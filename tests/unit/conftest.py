"""What the unit tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.groupstore import GroupStore


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[GroupStore]:
    """A database with one empty group."""
    made = GroupStore(tmp_path)
    yield made
    made.store.close()
