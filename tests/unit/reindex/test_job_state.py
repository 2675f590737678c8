"""The job files of reindex and purge: the same call goes on where a killed one ended."""

from __future__ import annotations

from pathlib import Path

from stream.reindex.job_state import JobFile, JobState


def test_a_job_goes_on_where_it_was(tmp_path: Path) -> None:
    # given a job that noted its state
    job = JobFile(tmp_path / "state", "reindex", {"customers": ["a"]})
    assert job.load() is None
    job.save(JobState(total=9, after="x", done=4, failed=1))
    # then the same call finds it, another does not
    again = JobFile(tmp_path / "state", "reindex", {"customers": ["a"]}).load()
    assert again is not None
    assert (again.after, again.done, again.failed, again.total) == ("x", 4, 1, 9)
    assert JobFile(tmp_path / "state", "reindex", {"customers": ["b"]}).load() is None
    # and a file that was cut is as none, and one that ended is gone
    job.path.write_text("{")
    assert job.load() is None
    job.remove()
    assert not list((tmp_path / "state").iterdir())
