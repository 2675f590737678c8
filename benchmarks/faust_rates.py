"""How fast Faust moves messages to an agent that does nothing: by record batches, and by single messages (stock Faust).

    python -m benchmarks.faust_rates --bootstrap 127.0.0.1:9092 --topic scorestream.app.scores

Each way runs in a process and a consumer group of its own, from the start of the topic. It stops after a number of
messages. The clock runs from the first message that the agent sees to the last.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

ROOT = Path(__file__).parents[1]


def faust_rates(
    bootstrap: str,
    topic: str,
    *,
    batches: int = 500_000,
    single: int = 40_000,
    max_messages: int = 10_000,
    timeout_s: float = 120,
) -> dict[str, Any]:
    """Messages per second of both ways, and the memory of both processes, over an existing topic.

    The topic must hold at least that many messages.

    Raises:
        RuntimeError: a run failed or did not end in time; the text holds the end of its output.
    """
    by_batches = _measure("batches", bootstrap, topic, messages=batches, most=max_messages, timeout_s=timeout_s)
    by_single = _measure("single", bootstrap, topic, messages=single, most=max_messages, timeout_s=timeout_s)
    return {
        "batches_per_s": round(by_batches["rate"]),
        "single_per_s": round(by_single["rate"]),
        "batches_messages": by_batches["messages"],
        "single_messages": by_single["messages"],
        "batches_rss_mb": by_batches["rss_mb"],
        "single_rss_mb": by_single["rss_mb"],
    }


def _measure(way: str, bootstrap: str, topic: str, *, messages: int, most: int, timeout_s: float) -> dict[str, Any]:
    group = f"faust-rates-{way}-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {
            "SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "SCORESTREAM_KAFKA_GROUP": group,
            "SCORESTREAM_STATE_DIR": folder,
            "SCORESTREAM_BATCH_MAX_MESSAGES": str(most),
        }
        command = [sys.executable, "-m", "benchmarks.faust_rates", "--run", way, "--topic", topic]
        command += ["--messages", str(messages)]
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=timeout_s
            )
        except subprocess.TimeoutExpired as error:
            tail = (error.stderr or b"")[-2000:]
            raise RuntimeError(f"{way}: no {messages} messages of {topic} in {timeout_s} s\n{tail!r}") from error
    _delete_group(bootstrap, group)
    if not done.stdout:
        raise RuntimeError(f"{way}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _delete_group(bootstrap: str, group: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for gone in admin.delete_consumer_groups([group]).values():
        try:
            gone.result(30)
        except (KafkaException, TimeoutError) as error:  # it expires by itself, later
            print(f"group {group} stays: {error}", file=sys.stderr)


class _Meter:
    """Counts messages; prints the rate when there are enough."""

    def __init__(self, messages: int) -> None:
        self._wanted = messages
        self._seen = 0
        self._first = 0  # messages that came with the first list, before the clock started
        self._since = 0.0

    def add(self, messages: int) -> bool:
        """True once, when the wanted number of messages was seen."""
        before, self._seen = self._seen, self._seen + messages
        if not before:
            self._since, self._first = time.perf_counter(), messages
        if not before < self._wanted <= self._seen:
            return False
        took_s = time.perf_counter() - self._since
        status = Path("/proc/self/status").read_text("utf-8")
        peak_kb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        rate = (self._seen - self._first) / took_s if took_s else 0.0
        print(json.dumps({"rate": rate, "messages": self._seen, "rss_mb": round(peak_kb / 1024)}), flush=True)
        return True


def _run_batches(topic: str, messages: int) -> int:
    from stream.config import load  # noqa: PLC0415
    from stream.live.build import build_app  # noqa: PLC0415

    settings = load()
    live = build_app(settings.kafka, settings.batch, settings.retry, state_dir=settings.state_dir)
    meter = _Meter(messages)

    async def nothing(batches: Any, _prepared: None) -> None:
        if meter.add(sum(map(len, batches))):
            live.stop()

    live.add_agent(topic, nothing)
    return live.run()


def _run_single(topic: str, messages: int) -> int:
    import faust  # noqa: PLC0415

    app = faust.App(
        os.environ["SCORESTREAM_KAFKA_GROUP"],
        broker=[f"kafka://{host}" for host in os.environ["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"].split(",")],
        datadir=os.environ["SCORESTREAM_STATE_DIR"],
        store="memory://",
        web_enabled=False,
        autodiscover=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        stream_wait_empty=False,
    )
    meter = _Meter(messages)

    @app.agent(app.topic(topic, key_serializer="raw", value_serializer="raw"))
    async def nothing(stream: Any) -> None:
        async for _ in stream:
            if meter.add(1):
                sys.stdout.flush()
                os._exit(0)  # stock Faust would take its time

    app.Worker(override_logging=False, redirect_stdouts=False, quiet=True, stdout=sys.stderr).execute_from_commandline()
    return 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", default=os.environ.get("SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092"))
    parser.add_argument("--topic", required=True)
    parser.add_argument("--batches", type=int, default=500_000, help="messages to read by batches")
    parser.add_argument("--single", type=int, default=40_000, help="messages to read one by one")
    parser.add_argument("--run", choices=("batches", "single"), help=argparse.SUPPRESS)
    parser.add_argument("--messages", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        return (_run_batches if options.run == "batches" else _run_single)(options.topic, options.messages)
    found = faust_rates(options.bootstrap, options.topic, batches=options.batches, single=options.single)
    print(json.dumps({"bench": "faust_rates", "topic": options.topic} | found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
