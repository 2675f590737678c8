"""The live group and the processes that the settings list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pytest

from stream.doctor import processes
from stream.doctor.finding import DoctorFinding
from stream.kafka.groups import DEAD, Group, GroupMember
from stream.kafka.topic_partition import TP
from stream.web.asker import AskFailed

TPS = tuple(TP("qa.app.scores", number) for number in range(4))
WORKER = GroupMember("m1", "w1", "10.0.0.1", TPS)


class Members:
    """Brokers whose logs begin at 10 and end at 20."""

    def __init__(self, group: Group, at: int = 15) -> None:
        self._group = group
        self._at = at

    def starts(self, tps: Sequence[TP]) -> dict[TP, int]:
        return dict.fromkeys(tps, 10)

    def ends(self, tps: Sequence[TP]) -> dict[TP, int]:
        return dict.fromkeys(tps, 20)

    def committed(self, group: str, tps: Sequence[TP]) -> dict[TP, int]:
        return {TPS[0]: self._at}

    def group(self, name: str) -> Group:
        return self._group

    def partitions(self, topics: Iterable[str]) -> list[TP]:
        return list(TPS)


def found(
    group: Group = Group("STABLE", (WORKER,)),  # noqa: B008  a frozen value
    urls: Mapping[str, bool] | None = None,
    answers: Mapping[str, str] | None = None,
    at: int = 15,
) -> list[DoctorFinding]:
    def get(url: str) -> bytes:
        if error := (answers or {}).get(url, ""):
            raise AskFailed(error)
        return b"{}"

    topics = ["qa.app.scores"]
    return list(processes.examine(Members(group, at), group="qa-live", topics=topics, urls=urls or {}, get=get))


def test_a_group_that_holds_all_partitions_has_no_finding() -> None:
    assert found(urls={"http://127.0.0.1:6066": True}) == []


def test_a_group_without_members_is_an_error() -> None:
    for state in ("EMPTY", DEAD):
        (finding,) = found(Group(state))
        assert (finding.id, finding.severity, finding.way_out) == (
            "group-empty",
            "error",
            "scorestream worker --restart",
        )


def test_partitions_that_no_member_holds_are_named() -> None:
    (finding,) = found(Group("STABLE", (GroupMember("m1", "w1", "10.0.0.1", TPS[:2]),)))
    assert finding.what == "no member of group qa-live holds qa.app.scores-2, qa.app.scores-3"
    assert found(Group("PREPARING_REBALANCING", (GroupMember("m1", "w1", "10.0.0.1", ()),))) == []


def test_a_worker_too_many_is_a_hint() -> None:
    (finding,) = found(Group("STABLE", (WORKER, GroupMember("m2", "w2", "10.0.0.2", ()))))
    assert (finding.id, finding.severity) == ("worker-idle", "hint")


def test_a_process_that_must_answer_and_does_not_is_a_warning() -> None:
    urls = {"http://127.0.0.1:6066": True, "http://127.0.0.1:6067": False}
    refused = dict.fromkeys((f"{url}/readyz" for url in urls), "connection refused")
    (finding,) = found(urls=urls, answers=refused)
    assert (finding.id, finding.what) == ("process-silent", "http://127.0.0.1:6066: connection refused")


def test_a_process_that_is_not_ready_is_an_error() -> None:
    (finding,) = found(urls={"http://127.0.0.1:6067": False}, answers={"http://127.0.0.1:6067/readyz": "status 503"})
    assert (finding.id, finding.way_out) == ("process-unready", "curl -s http://127.0.0.1:6067/readyz")


def test_a_listed_host_without_an_address_is_a_warning() -> None:
    (finding,) = found(urls={"http://worker.invalid:6066": True})
    assert finding.id == "process-silent"


@pytest.mark.parametrize(("at", "checks"), [(9, ["offset-trimmed"]), (10, []), (20, []), (21, ["offset-ahead"])])
def test_the_committed_offset_lies_within_the_log(at: int, checks: list[str]) -> None:
    told = found(at=at)
    assert [each.id for each in told] == checks
    assert all("qa.app.scores-0" in each.what for each in told)
