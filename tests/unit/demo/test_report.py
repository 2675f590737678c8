"""The verdict, the figures, and the options."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from demo.__main__ import _arguments
from demo.report import Result
from testbed.visibility.compare import Comparison
from testbed.visibility.prober import Latency


def comparison(**changed) -> Comparison:
    same = {"scorecard": 10, "score": 90}
    values = {"postgres": same, "clickhouse": same, "appeals": 3, "process": 4, "process_indexed": 4} | changed
    return Comparison("spirit", **values)


def result(*comparisons: Comparison, **changed) -> Result:
    values = {
        "seed": 1,
        "comparisons": comparisons or (comparison(),),
        "latencies": [Latency("spirit", "update", 0.0, float(ms)) for ms in range(1, 101)],
        "never_seen": 0,
        "snapshot_rows": 100,
        "snapshot_s": 2.0,
        "changes": 10_000,
        "changes_per_s": 499.6,
        "wanted_rate": 500.0,
        "worker_rss_mb": 210.0,
        "took_s": 61.0,
    }
    return Result(**values | changed)


def test_equal_stores_pass_and_the_verdict_has_the_key_figures():
    verdict = result().verdict()
    assert verdict.startswith("demo: PASS ")
    for figure in ("100 rows equal", "3 appeals and 0 visible", "4 process scorecards", "p50 50 ms p99 99 ms"):
        assert figure in verdict


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (result(comparison(appeals_visible=2)), "2 rows of appeals are visible"),
        (result(comparison(process_indexed=3)), "3 of 4 process"),
        (result(never_seen=1), "1 sampled changes were never seen"),
        (result(latencies=[]), "no latency"),
    ],
)
def test_anything_wrong_fails_and_is_named(wrong, words):
    assert wrong.verdict().startswith("demo: FAIL ")
    assert words in wrong.verdict()
    assert wrong.as_json()["demo"] == "FAIL"


def test_the_figures_are_json_and_the_table_fits_into_80_characters():
    many = {"scorecard": 1_234_567, "score": 9_999_999}
    found = result(comparison(), Comparison("care-oregon", postgres=many, clickhouse=many))
    json.dumps(found.as_json(), allow_nan=False)
    out = io.StringIO()
    Console(file=out, width=80).print(found.table())
    assert "9,999,999" in out.getvalue()
    assert "…" not in out.getvalue()


def test_options_have_the_defaults_of_the_readme_and_refuse_nonsense():
    asked = _arguments([])
    assert (asked.rate, asked.seconds, asked.scale, asked.keep, asked.json) == (500, 20, 1, False, False)
    with pytest.raises(SystemExit) as ended:
        _arguments(["--rate", "-1"])
    assert ended.value.code == 2
