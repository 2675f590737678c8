"""Which messages a filtered replay and a tail pass hand to the pipeline."""

import json

import pytest

from stream.replay.choose import by_filter, by_key, by_place, chooser
from stream.scope import Scope
from tests.fakes import FakePostgres

ACME = Scope(customers=("acme",))


def message(op, after=None, before=None, snapshot="false"):
    return json.dumps({"op": op, "after": after, "before": before, "source": {"snapshot": snapshot}}).encode()


def score(card):
    return {"score_id": "s", "scorecard_id": card}


def test_scores_are_chosen_by_the_place_of_their_scorecard():
    asked = []

    def choose(ids):
        asked.extend(ids)
        return set(ids) - {"o"}

    values = [
        message("c", score("a")),
        message("c", score("o")),
        message("c", score("a")),
        None,
        b"no json",
        message("d", before=score("gone")),
        message("u", score("o"), score("a")),  # leaves the customer's scorecard
    ]
    assert by_filter("scores", values, ACME, choose) == [0, 2, 4, 5, 6]
    assert asked == ["a", "o", "gone"]  # each once


def test_scorecards_of_other_customers_are_not_even_looked_up():
    asked = []

    def choose(ids):
        asked.extend(ids)
        return set(ids)

    values = [
        message("c", {"scorecard_id": "a", "customer_id": "acme"}),
        message("c", {"scorecard_id": "o", "customer_id": "other"}),
    ]
    assert by_filter("scorecards", values, ACME, choose) == [0]
    assert asked == ["a"]


def test_a_filter_by_customers_asks_for_owners_and_any_other_for_places():
    postgres = FakePostgres()
    postgres.insert("scorecards", "5c0", customer_id="acme", scorecard_time=5)
    postgres.insert("scorecards", "5c1", customer_id="other", scorecard_time=5)
    postgres.insert("scorecards", "5c2", customer_id="acme", scorecard_time=50)
    ids = ["5c0", "5c1", "5c2", "gone"]  # a scorecard that is gone has no known customer
    assert chooser(ACME, postgres)(ids) == {"5c0", "5c2", "gone"}
    assert chooser(Scope(customers=("acme",), end_us=10), postgres)(ids) == {"5c0", "gone"}
    assert chooser(Scope(kind="conversation"), postgres)(ids) == {"gone"}
    assert chooser(Scope(), postgres) is None
    assert not Scope().names_customers_only
    assert [Scope(("acme",)).names_customers_only, Scope(("acme",), kind="process").names_customers_only] == [
        True,
        False,
    ]


def test_the_tail_applies_deletes_and_changes_of_place_only():
    card = {"scorecard_id": "a", "customer_id": "acme", "scorecard_type": None, "conversation_id": "c"}
    values = [
        message("c", card),
        message("r", card),
        message("u", card | {"comment": "x"}, card),
        message("u", card | {"scorecard_type": 2}, card),
        message("u", card, None),
        message("d", before=card),
        None,
        b"no json",
    ]
    assert by_place("scorecards", values) == [3, 4, 5, 7]  # what cannot be read may be any of them
    assert by_place("scorecards", values, ("other",)) == [7]


def test_the_tail_of_scores_and_chats():
    values = [
        message("u", score("b"), score("a")),
        message("u", score("a"), score("a")),
        message("d", before=score("a")),
    ]
    assert by_place("scores", values, ("acme",)) == [0, 2]  # a score does not say whose it is
    chat = {"conversation_id": "c", "customer_id": "acme", "started_at": "2026-01-01T00:00:00Z"}
    values = [
        message("r", chat, snapshot="true"),
        message("r", chat, snapshot="incremental"),
        message("c", chat),
        message("u", chat, chat),
        message("u", chat | {"started_at": "2026-01-02T00:00:00Z"}, chat),
        message("d", before=chat),
    ]
    assert by_place("chats", values) == [1, 2, 4, 5]


def test_a_batch_of_upserts_is_chosen_in_one_go_and_one_odd_message_changes_nothing():
    asked = []

    def choose(ids):
        asked.append(list(ids))
        return set(ids) - {"o"}

    upserts = [
        message("c", score("a")),
        message("r", score("o")),
        message("u", score("a"), score("a")),
        message("c", score("gone")),
    ]
    assert by_filter("scores", upserts, ACME, choose) == [0, 2, 3]
    assert by_filter("scores", [*upserts, None], ACME, choose) == [0, 2, 3]
    assert by_filter("scores", [*upserts, message("c", score(""))], ACME, choose) == [0, 2, 3, 4]
    assert asked == [["a", "o", "gone"]] * 3


def key(card, own="50000000-0000-4000-8000-000000000001"):
    return f'{{"scorecard_id":"{card}","score_id":"{own}"}}'.encode()


A, OTHERS, GONE_ONE = (f"5c000000-0000-4000-8000-00000000000{n}" for n in range(3))


def test_scores_are_chosen_by_their_keys_alone():
    asked = []

    def choose(ids):
        asked.extend(ids)
        return set(ids) - {OTHERS}

    keys = [key(A), key(OTHERS), key(A), key(GONE_ONE), key(OTHERS)]
    assert by_key(keys, choose) == [0, 2, 3]  # a scorecard that is gone has no known customer
    assert asked == [A, OTHERS, GONE_ONE]  # each once


@pytest.mark.parametrize(
    "odd",
    [
        None,
        b"",
        key("no uuid" + 29 * "x"),
        key(A)[:-1],
        key(A).replace(b"scorecard_id", b"scorecard_no"),
        key(A).replace(b'","score_id', b'", "scoreid'),
        f'{{"score_id":"{A}","scorecard_id":"{A}"}}'.encode(),
        b'{"score_id":"50000000-0000-4000-8000-000000000001"}',
        b"\xff" * len(key(A)),
    ],
)
def test_a_key_of_another_form_is_left_to_the_values(odd):
    assert by_key([key(A), odd], set) is None
