"""Every line of every runbook's page, run on a real stack in the state that the page is for.

The stack, the universe, its worker and its monitor are shared. Each page leaves them whole: both stores are equal, and
the monitor finds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devstack.stack import Stack
from stream.web.runbook import CLICKHOUSE, Line, Runbook
from stream.web.runbooks import RUNBOOKS
from testbed.universe import Universe, wait_for
from tests.stage import Stage
from tests.states import STATES

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

TRIED = [each for each in RUNBOOKS if not each.untried]


@pytest.fixture(scope="module")
def stage(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Universe(stack.env(), tmp_path_factory.mktemp("runbooks")) as universe, universe.postgres() as connection:
        made = Stage.made(universe, stack, connection)
        try:
            made.heal()
            yield made
        finally:
            made.close()


@pytest.mark.parametrize("runbook", TRIED, ids=lambda each: each.id)
def test_a_runbook_works_in_its_state(stage: Stage, runbook: Runbook) -> None:
    state = STATES[runbook.id]
    # given the state
    state.enter(stage)
    try:
        # when an operator types what the page says, then each line shows what the page says
        for line in runbook.look_at:
            stage.run(line)
        state.between(stage)
        for line in runbook.run:
            stage.run(line)
        state.leave(stage)
        stage.end_running()
        # then the stack is whole again
        stage.heal()
    except BaseException:
        state.leave(stage)
        stage.rescue()
        raise


def test_sigquit_writes_to_the_log_where_each_thread_of_a_worker_is(stage: Stage) -> None:
    stage.words["PID"] = str(stage.worker.pid)
    stage.run(Line("kill -QUIT PID"))
    wait_for("the log has stacks", lambda: "most recent call first" in stage.worker.log.read_text("utf-8"))
    assert stage.worker.alive()


@pytest.mark.parametrize("runbook", [each for each in RUNBOOKS if each.untried], ids=lambda each: each.id)
def test_the_lines_of_a_runbook_whose_state_cannot_be_made_here(stage: Stage, runbook: Runbook) -> None:
    # given a whole stack, when the page's lines run, then they end well; ClickHouse's are parsed
    for line in (*runbook.look_at, *runbook.run):
        if line.language == CLICKHOUSE:
            stage.parse(line)
        else:
            stage.run(line)
