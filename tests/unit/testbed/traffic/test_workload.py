"""The customers' rows: enough of each kind, the same from the same seed, and lines that COPY takes."""

from __future__ import annotations

import random
from uuid import UUID

from testbed.traffic.customers import CUSTOMERS, MANUAL, SPIRIT
from testbed.traffic.workload import Workload, _Maker, copy_line, new_id, random_time


def made(seed: int, scale: float = 1.0) -> tuple[Workload, dict[str, list[str]]]:
    maker = _Maker(random.Random(seed), scale)
    for customer in CUSTOMERS:
        maker.customer(customer)
    return maker.workload, {table: rows for table, _, rows in maker.tables()}


def test_the_demo_has_enough_of_every_kind():
    # given / when
    work, rows = made(1)
    # then
    assert len(rows["chats"]) >= 20_000
    assert len(rows["scorecards"]) >= 20_000
    assert len(rows["scores"]) >= 180_000
    assert len(work.process) >= 2_000
    assert len(work.appeals) >= 600
    assert 8 <= len(rows["scores"]) / len(rows["scorecards"]) <= 10
    assert work.waiting


def test_one_customer_has_appeals_of_all_three_types_and_one_eight_manual_templates():
    with_appeals = [customer for customer in CUSTOMERS if all(customer.appeals)]
    assert [customer.id for customer in with_appeals] == ["care-oregon"]
    work, rows = made(1, scale=0.1)
    assert len(work.templates["spirit", MANUAL]) == 8 == len(SPIRIT.process)
    kinds = {line.split("\t")[5] for line in rows["scorecards"]}
    assert kinds == {"\\N", "0", "1", "2", "3"}


def test_process_scorecards_have_no_conversation_and_others_have_one():
    _, rows = made(2, scale=0.2)
    conversations = {line.split("\t")[3] for line in rows["scorecards"] if line.split("\t")[6] == "2"}
    assert conversations == {"\\N", ""}
    assert all(line.split("\t")[7] != "\\N" for line in rows["scorecards"] if line.split("\t")[6] == "2")


def test_a_seed_gives_the_same_rows_and_another_seed_other_ids():
    assert made(3, scale=0.05)[1] == made(3, scale=0.05)[1]
    here, there = (made(seed, scale=0.05)[1]["scorecards"] for seed in (3, 4))
    assert not {line.split("\t")[0] for line in here} & {line.split("\t")[0] for line in there}


def test_times_are_in_the_window():
    rng = random.Random(5)
    times = [random_time(rng) for _ in range(5_000)]
    assert min(times).isoformat() >= "2026-01-01"
    assert max(times).isoformat() < "2026-02-22"
    assert {moment.month for moment in times} == {1, 2}


def test_ids_are_version_4_uuids():
    text = new_id(random.Random(6))
    assert str(UUID(text)) == text
    assert UUID(text).version == 4


def test_copy_lines_escape_what_copy_takes_for_its_own():
    assert copy_line((None, "a\tb\nc\\d\r", 1.5, "")) == "\\N\ta\\tb\\nc\\\\d\\r\t1.5\t\n"
