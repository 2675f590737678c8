"""Fixtures for the tests that need the real stack. Where it cannot be started, they fail; they are never skipped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from devstack.stack import Stack

# The same examples on every machine, and no time limit: CI is slow and noisy.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

ROOT = Path(__file__).parent.parent


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of two processes (`make test`) one runs all tests of the stack, in their order, so that there is one stack."""
    from xdist.scheduler import LoadScopeScheduling

    class OneForTheStack(LoadScopeScheduling):  # type: ignore[misc, no-any-unimported]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if file.startswith("tests/unit/") else "stack"

    return OneForTheStack(config, log)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The stack of the tests, beside any other; it stops at the end unless DEVSTACK_KEEP is set."""
    found = Stack(ROOT / ".devstack-test")
    found.up()
    yield found
    if not os.environ.get("DEVSTACK_KEEP"):
        found.clean()


@pytest.fixture
def stack_env(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The stack's settings: SCORESTREAM_* and DEVSTACK_*, also put into the environment."""
    env = stack.env()
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return env
