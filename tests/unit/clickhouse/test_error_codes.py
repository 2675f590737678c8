"""Each of ClickHouse's errors is sorted once: it passes, the installation is at fault, or a value is."""

from __future__ import annotations

import pytest

from stream.clickhouse.error_codes import _DATA, _PASSING, PASSING, Sort, code_of, hint, sort
from stream.clickhouse.shards import shard_error
from stream.errors import ClickHouseRefused, ClickHouseUnavailable
from stream.settings_sections import ClickHouseSettings

SETTINGS = ClickHouseSettings(shards=["http://shard:8123"])
MONTHS = (
    "Code: 252. DB::Exception: Too many partitions for single INSERT block (more than 100). The limit is controlled by "
    "'max_partitions_per_insert_block' setting. (TOO_MANY_PARTS)"
)
PARTS = "Code: 252. DB::Exception: Too many parts (3000). Merges are processing significantly slower than inserts."


def test_no_code_is_sorted_twice() -> None:
    every = [code for group in (*_PASSING.values(), _DATA) for code in group]
    assert len(every) == len(set(every))


@pytest.mark.parametrize("code", [201, 439, 745, 173, 499, 279, 218, 241, 242, 286, 319, 999])
def test_what_passes_by_itself_is_tried_again(code: int) -> None:
    assert isinstance(shard_error(SETTINGS, 0, RuntimeError(f"Code: {code}. DB::Exception: x")), ClickHouseUnavailable)
    assert code in PASSING


def test_a_broken_connection_has_no_code_and_passes() -> None:
    assert sort(None, "Connection reset by peer") is Sort.PASSING
    assert code_of(OSError("Connection reset by peer")) is None


def test_too_many_parts_passes_and_too_many_months_in_one_block_does_not() -> None:
    assert sort(252, PARTS) is Sort.PASSING
    assert sort(252, MONTHS) is Sort.CONFIGURATION
    assert "max_partitions_per_insert_block" in hint(252, MONTHS)
    assert isinstance(shard_error(SETTINGS, 0, RuntimeError(MONTHS)), ClickHouseRefused)


def test_a_refused_value_is_data_and_what_is_left_of_the_named_codes_is_configuration() -> None:
    assert sort(53, "TYPE_MISMATCH") is Sort.DATA
    assert sort(60, "UNKNOWN_TABLE") is Sort.CONFIGURATION


@pytest.mark.parametrize("code", [335, 907, 1021, 5000])
def test_a_code_that_no_list_has_is_tried_again(code: int) -> None:
    assert sort(code, "of a newer server, or of a proxy") is Sort.PASSING


def test_the_text_has_the_next_step() -> None:
    error = shard_error(SETTINGS, 0, RuntimeError("Code: 60. DB::Exception: Table d.score does not exist"))
    assert "shard 0 (http://shard:8123)" in str(error)
    assert str(error).endswith("run `scorestream schema apply`")
