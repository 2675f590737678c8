"""What several files of this folder begin with."""

from __future__ import annotations

import pytest

from tests.unit.pipeline.bench import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()
