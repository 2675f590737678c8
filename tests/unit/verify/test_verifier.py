"""The comparison: scorecards that move are looked at again, up to a limit."""

from __future__ import annotations

from typing import Any

import pytest

from stream.pipeline.values import uuid_text
from stream.scope import Scope
from stream.verify import verifier as module
from stream.verify.cells import Suspect
from stream.verify.findings import RowDifference
from stream.verify.row_states import InPostgres
from stream.verify.verified import Verified
from stream.verify.verifier import Verifier
from tests.unit.verify.rows import LAYOUT, target


def test_what_moves_beyond_the_limit_is_counted_and_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    # given room for one scorecard that moves, and three that changed since the snapshot
    monkeypatch.setattr(module, "_MAX_MOVING", 1)
    monkeypatch.setattr(module, "in_postgres", lambda *_: InPostgres())
    monkeypatch.setattr(module, "_lsn", lambda _: 0)
    ids = [uuid_text(number) for number in (1, 2, 3)]

    class Moving(Verifier):
        def __init__(self) -> None:
            pass

        def _findings(self, *_: Any) -> tuple[list[RowDifference], dict[Any, int]]:
            return [RowDifference("missing", "score", i, i, "acme", 0, True, 0, "") for i in ids], {}

        def _recent(self, *_: Any, **__: Any) -> set[str]:
            return set(ids)

    result, moving = Verified(Scope(), "scorestream"), dict[str, set[str]]()
    chunk = [Suspect(i.replace("-", ""), frozenset({"acme"})) for i in ids]
    connection: Any = None
    # when they are looked at
    Moving()._look(chunk, result, connection, connection, connection, moving=moving, limit=None, on_chunk=None)
    # then one is looked at again, and the verdict is not "clean" because of the two others
    assert (len(moving), result.not_looked_at, result.clean) == (1, 2, False)
    assert result.not_comparable == 2


def test_a_row_under_the_empty_customer_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a row that stands under the empty customer, whose scorecard is gone from Postgres
    ghost = target(customer_id="")
    monkeypatch.setattr(module, "shown", lambda _shards, _ids, under: [ghost] if "" in under else [])
    monkeypatch.setattr(module, "highest", lambda *_: {})
    verifier: Any = Verifier.__new__(Verifier)
    verifier._shards, verifier._layout = None, LAYOUT
    # when its scorecard is looked at, because its cell differs
    findings, _ = verifier._findings(InPostgres(), {uuid_text(ghost.key.scorecard_id): {""}}, Scope())
    # then it is a finding
    assert [(each.what, each.customer_id) for each in findings] == [("extra", "")]
