"""Permissions: no role has more than it needs, and the chart grants the same."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream.kafka.acls import ROLES, Acl, Role, needed
from stream.kafka.permissions import missing
from stream.settings_sections import KafkaSettings
from stream.topic_names import TopicNames

NAMES = TopicNames("emea.scores", "app", "emea.scores.dead-letters")
RENDERED = Path(__file__).parents[2] / "data" / "chart" / "operators.yaml"


def of(role: Role) -> dict[tuple[str, str, bool], set[str]]:
    acls = needed(role, KafkaSettings(group="emea-live"), NAMES, connect_group="emea-connect", connector="scorestream")
    found = {(acl.kind, acl.name, acl.prefixed): set(acl.operations) for acl in acls}
    assert len(found) == len(acls), "a resource stands twice"
    return found


def test_a_monitor_may_change_nothing() -> None:
    assert {operation for operations in of("monitor").values() for operation in operations} == {
        "Describe", "DescribeConfigs", "Read"
    }  # fmt: skip
    assert all(operations == {"Describe"} for (kind, *_), operations in of("monitor").items() if kind == "group")


def test_a_worker_writes_refused_messages_and_outages_alone() -> None:
    written = {name for (_, name, _), operations in of("worker").items() if "Write" in operations}
    assert written == {NAMES.dead_letters, NAMES.settled_letters, NAMES.outages}


def test_a_role_holds_all_that_the_roles_below_it_hold() -> None:
    for less, more in (("monitor", "worker"), ("worker", "operator")):
        above = of(more)  # type: ignore[arg-type]
        for resource, operations in of(less).items():  # type: ignore[arg-type]
            assert operations <= above.get(resource, set()), (less, resource)


@pytest.mark.parametrize("role", ROLES)
def test_the_arguments_are_those_of_kafkas_own_tool(role: Role) -> None:
    for resource, name, prefixed, operations in needed(role, KafkaSettings(), NAMES, connect_group="c", connector="s"):
        words = Acl(resource, name, prefixed, operations).arguments
        assert words[:2] == [f"--{resource}", name]
        assert ("prefixed" in words) is prefixed
        assert words.count("--operation") == len(operations)
        assert shlex.split(shlex.join(words)) == words


@pytest.mark.parametrize(("role", "user"), [("operator", "emea-kafka"), ("connect", "emea-connect")])
def test_the_charts_users_hold_what_a_role_needs(role: Role, user: str) -> None:
    # given the ACLs of the chart's rendering, where Strimzi makes the topics
    documents = [each for each in yaml.safe_load_all(RENDERED.read_text("utf-8")) if each]
    (entry,) = [e for e in documents if e["kind"] == "KafkaUser" and e["metadata"]["name"] == user]
    rendered: list[dict[str, Any]] = entry["spec"]["authorization"]["acls"]
    # when a role needs an operation, then an ACL of the chart covers it
    for (kind, name, prefixed), operations in of(role).items():
        for operation in operations - {"Create"}:
            assert any(
                covers(each["resource"], kind, name, prefixed) and operation in each["operations"] for each in rendered
            ), (kind, name, operation)


def covers(resource: dict[str, str], kind: str, name: str, prefixed: bool) -> bool:
    same = resource["type"] == {"transactional-id": "transactionalId"}.get(kind, kind)
    if resource["patternType"] == "prefix":
        return same and name.startswith(resource["name"])
    return same and not prefixed and resource["name"] == name


def test_an_operator_lacks_nothing_that_a_worker_or_doctor_asks_for() -> None:
    # given brokers that allow nothing
    found = list(missing(Nothing(), NAMES, "emea-live"))
    assert found
    # when a user has what `topics acls` prints, then each of these permissions is among it
    allowed = of("operator")
    for each in found:
        for operation in each.operations:
            words = "".join(part.capitalize() for part in operation.split("_"))
            assert any(
                kind == each.kind
                and (each.name.startswith(name) if prefixed else name == each.name)
                and words in operations
                for (kind, name, prefixed), operations in allowed.items()
            ), each


class Nothing:
    """Brokers that allow this user nothing."""

    def denied(self, topics: Collection[str], operations: Collection[str]) -> dict[str, list[str]]:
        return {topic: list(operations) for topic in topics}

    def denied_to_create(self, topics: Collection[str]) -> list[str]:
        return list(topics)

    def denied_groups(self, groups: Collection[str], operations: Collection[str]) -> dict[str, list[str]]:
        return {group: list(operations) for group in groups}
