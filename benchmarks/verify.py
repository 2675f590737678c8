"""Verify: seconds and memory of `scorestream verify` over millions of scores that are equal in both stores.

    python -m benchmarks.verify [--scores 5000000] [--runs 3]

It runs on a stack of its own that is removed afterwards. Both stores are loaded in bulk, past the pipeline. Rows are
made in Postgres, and the rows of its defining query are copied to the shards. The connector runs, so the figures
include the wait for the pipeline. Afterwards one row is deleted and one altered in ClickHouse, and verify must find
both.

Last line: one line of JSON. Exit 1 when verify found a difference, or not exactly those two.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.common import RESULTS, machine, say
from devstack.stack import Stack
from testbed import oracle
from testbed.universe import Universe

SCORES_EACH = 9
DAYS = 60
SCORESTREAM = [sys.executable, "-m", "stream.cli", "--log-level", "warning"]

# Ids are hashes, so that rows lie in no order of time or customer. One scorecard of ten is a process scorecard, one of
# a hundred an appeal.
_ROWS = """
SET session_replication_role = replica;
CREATE TABLE made AS SELECT md5('card' || i)::uuid AS id, md5('chat' || i) AS chat, 'customer-' || i % 10 AS customer,
    timestamptz '2026-01-01' + i * (interval '{days} days' / {cards}) AS at, i FROM generate_series(1, {cards}) i;
INSERT INTO app.chats SELECT chat, customer, md5('agent' || i % 500)::uuid, at, at + interval '5 minutes' FROM made
    WHERE i % 10 <> 3;
INSERT INTO app.scorecards SELECT id, customer, md5('template' || i % 40)::uuid, CASE WHEN i % 10 <> 3 THEN chat END,
    md5('agent' || i % 500)::uuid, CASE WHEN i % 100 = 7 THEN 2 END, 1, at, at, i % 100 + 0.5,
    'graded by the team lead', at, at FROM made;
INSERT INTO app.scores SELECT md5('score' || i || ' ' || n)::uuid, id, md5('criterion' || n)::uuid, n / 2.0, n,
    n = 7 AND i % 5 = 0, CASE WHEN n < 3 THEN 'greeting and closing as agreed' END, at FROM made,
    generate_series(1, {each}) n;
DROP TABLE made;
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=int, default=5_000_000, help="(default: 5000000)")
    parser.add_argument("--runs", type=int, default=3, help="(default: 3)")
    parser.add_argument("--dir", type=Path, default=Path(".devstack-bench"), help="folder of the stack")
    options = parser.parse_args()
    stack = Stack(options.dir, say=say)
    try:
        stack.up()
        with tempfile.TemporaryDirectory() as folder:
            return bench(Universe(stack.env(), Path(folder)), scores=options.scores, runs=options.runs)
    finally:
        stack.clean()


def bench(universe: Universe, *, scores: int, runs: int) -> int:
    """Exit code; prints and keeps the result."""
    began = time.monotonic()
    with universe.postgres() as connection:
        _fill(connection, scores)
        say(f"Postgres is loaded after {time.monotonic() - began:.0f} s")
        _start_connector(universe)
        _copy(universe, connection)
    say(f"both stores are loaded after {time.monotonic() - began:.0f} s")
    equal = [_verify(universe) for _ in range(runs)]
    damaged = _damage_and_verify(universe)
    clean = all(run["exit"] == 0 for run in equal)
    found = {name: damaged["answer"][name] for name in ("missing", "extra", "stale")}
    result = {
        "bench": "verify",
        "scores": equal[0]["answer"]["rows"]["score"],
        "scorecards": equal[0]["answer"]["rows"]["scorecard"],
        "seconds": max(run["seconds"] for run in equal),
        "rss_mb": max(run["rss_mb"] for run in equal),
        "two_rows_damaged_s": damaged["seconds"],
    }
    detail = {
        "clean": clean,
        "found": found,
        "seconds": [run["seconds"] for run in equal],
        "rss_mb": [run["rss_mb"] for run in equal],
        "damaged_rss_mb": damaged["rss_mb"],
    }
    RESULTS.mkdir(exist_ok=True)
    kept = json.dumps(result | {"detail": detail, "machine": machine()}, indent=2)
    (RESULTS / "verify.json").write_text(kept + "\n", "utf-8")
    print(json.dumps(result), flush=True)
    return 0 if clean and found == {"missing": 1, "extra": 0, "stale": 1} else 1


def _fill(connection: psycopg.Connection[Any], scores: int) -> None:
    """Rows in Postgres."""
    text = _ROWS.format(cards=scores // SCORES_EACH, each=SCORES_EACH, days=DAYS)
    for statement in filter(str.strip, text.split(";")):
        connection.execute(statement.encode())
    for table in ("chats", "scorecards", "scores"):
        connection.execute(f"VACUUM ANALYZE app.{table}")  # as autovacuum would have


def _start_connector(universe: Universe) -> None:
    """Without a snapshot, because ClickHouse is filled by other means."""
    document = json.loads(universe.connector_file.read_text("utf-8"))
    document["config"]["snapshot.mode"] = "no_data"
    universe.connector_file.write_text(json.dumps(document), "utf-8")
    universe.set_up()


def _copy(universe: Universe, connection: psycopg.Connection[Any]) -> None:
    """Copy the rows of the defining query to the shard of their day."""
    shards = universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(",")
    for view, query in (("scorecard", oracle.SCORECARDS), ("score", oracle.SCORES)):
        for number, url in enumerate(shards):
            columns = _columns(universe, url, view)
            home = f"floor(extract(epoch FROM event_time) / 86400) % {len(shards)} = {number}"
            rows = f"SELECT *, 1 FROM ({query}) shown ({', '.join(columns)}) WHERE {home}"
            client = oracle.client_of(url, universe.env)
            with connection.cursor().copy(f"COPY ({rows}) TO STDOUT (FORMAT csv)".encode()) as lines:
                client.raw_insert(
                    f"{universe.name}.{view}",
                    column_names=[*columns, "_version"],
                    insert_block=(bytes(line) for line in lines),
                    settings={"date_time_input_format": "best_effort"},
                    fmt="CSV",
                )
            client.close()


def _columns(universe: Universe, url: str, view: str) -> list[str]:
    client = oracle.client_of(url, universe.env)
    try:
        return list(client.query(f"SELECT * FROM {universe.name}.{view}_current LIMIT 0").column_names)
    finally:
        client.close()


def _verify(universe: Universe) -> dict[str, Any]:
    """One run as a process of its own: exit code, seconds from start to end, peak of its memory, its output."""
    with tempfile.TemporaryFile() as out:
        began = time.monotonic()
        process = subprocess.Popen([*SCORESTREAM, "verify", "--json"], env=universe.env, stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        answer = json.loads(out.read() or b"{}")
    found = {"exit": process.returncode, "seconds": round(seconds, 2), "rss_mb": round(usage.ru_maxrss / 1024)}
    say(f"verify: exit {found['exit']}, {found['seconds']} s, {found['rss_mb']} MB")
    return found | {"answer": answer}


def _damage_and_verify(universe: Universe) -> dict[str, Any]:
    """Delete one score, alter another, and verify."""
    client = oracle.client_of(universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(",")[0], universe.env)
    table = f"{universe.name}.score"
    chosen = f"SELECT score_id FROM {table} ORDER BY score_id LIMIT 1 OFFSET"
    settings = {"mutations_sync": 1}
    client.command(f"ALTER TABLE {table} UPDATE numeric_value = -1 WHERE score_id = ({chosen} 1)", settings=settings)
    client.command(f"ALTER TABLE {table} DELETE WHERE score_id = ({chosen} 0)", settings=settings)
    client.close()
    return _verify(universe)


if __name__ == "__main__":
    sys.exit(main())
