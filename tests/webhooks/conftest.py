"""What the tests of webhooks share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.groups.member import MemberEntry
from tests.webhooks.days import SILENT, Days
from tests.webhooks.kept import Kept


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    """A database with one empty group, and webhooks that come to it."""
    made = Kept(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def days(kept: Kept) -> Days:
    """With a member who never says anything."""
    kept.put(MemberEntry(lid=SILENT))
    return Days(kept)
