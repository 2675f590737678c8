"""The soak's verdict and its picture, without a stack."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

from drills.compare import FINDINGS
from drills.drill import Round
from drills.soak.picture import svg
from drills.soak.replays import Replayed
from drills.soak.result import Result
from drills.soak.run import Pace
from drills.soak.trend import Sample, Trend

KILL = Round("kafka", "down 1.0 s", 1.0, 4.0, 800)
FLAT = Trend("memory worker-1", "MB", 700, 150.0, 170.0, 190.0, 171.0, 1.5, 17.0)


def passed() -> Result:
    return Result(
        seed=1,
        asked_s=7_200,
        ran_s=7_200,
        kills=[(150.0, KILL)],
        replays=[Replayed("soak1", "live")],
        trends=[FLAT],
        findings=dict.fromkeys(FINDINGS, 0),
        lag=0,
        asked=9,
        verified={1.0},
        stopped=[0, 0],
    )


def test_a_run_without_faults_passes() -> None:
    assert passed().faults == []


def test_each_fault_has_its_line() -> None:
    # given a run in which everything went wrong
    bad = replace(
        passed(),
        kills=[(150.0, replace(KILL, recovered_s=None))],
        replays=[Replayed("soak1", "live", failed="not done")],
        trends=[replace(FLAT, growth=40.0), replace(FLAT, name="slot retained", growth=None)],
        findings=dict.fromkeys(FINDINGS, 0) | {"stale": 3},
        lag=5,
        dead_letters=2,
        ghosts=["x"],
        verify_wrong=4,
        own_ends=["worker-1: exit code 1", "worker-2: killed by SIGABRT"],
        stopped=[0, 1],
    )
    # then each has its line
    assert bad.faults == [
        "3 rows are stale",
        "memory worker-1 grew by 40.0 MB, limit 17.0",
        "slot retained has no two points to compare",
        "kafka at 150 s: no recovery",
        "replay soak1: not done",
        "ended without a kill: worker-2: killed by SIGABRT",
        "exit code 1 at the end",
        "5 messages wait",
        "2 dead letters",
        "1 rows in spans of time that they had left",
        "verify --watch found 4 rows wrong",
    ]


def test_a_trial_tells_of_growth_and_does_not_judge_it() -> None:
    trial = replace(passed(), ran_s=360.0, trends=[replace(FLAT, growth=40.0)])
    assert trial.faults == []
    assert trial.growing == ["memory worker-1 grew by 40.0 MB, limit 17.0"]


def test_what_was_not_looked_at_has_not_passed() -> None:
    assert [line.split(" ")[0] for line in Result(1, 7_200).faults] == ["no"] * 6


def test_two_hours_have_a_kill_each_five_minutes_and_a_replay_each_twenty() -> None:
    pace = Pace(7_200)
    assert (pace.kill_s, pace.replay_s, pace.verify_s, pace.sample_s) == (300, 1_200, 600, 10)


def test_the_picture_has_a_line_for_each_life_of_a_process() -> None:
    # given a process that was killed once
    samples = [Sample(at_s, life=at_s // 50, value=100.0) for at_s in range(0, 100, 10)]
    # when the picture is drawn
    picture = ElementTree.fromstring(svg([("memory", "MB", {"a<b": samples})], run_s=100, kills=[50]))
    # then it is whole
    space = "{http://www.w3.org/2000/svg}"
    assert len(picture.findall(f".//{space}path")) == 2
    assert len([each for each in picture.iter(f"{space}line") if each.get("class") == "kill"]) == 1
    assert "a<b" in [each.text for each in picture.iter(f"{space}text")]
