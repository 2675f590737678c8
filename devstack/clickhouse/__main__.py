"""The process of one shard: `python -m devstack.clickhouse --port 8123 --path DIR`.

Users come from DEVSTACK_CLICKHOUSE_USERS (`name:password,name:password`) and not from arguments, which any user of the
machine can read. `default` has no password, as in a fresh ClickHouse, and is served on loopback only.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import ssl
import sys
import threading
from pathlib import Path


def main() -> None:
    """Serve until SIGTERM or SIGINT; then finish the running statements."""
    parser = argparse.ArgumentParser(
        prog="devstack.clickhouse", description="ClickHouse's engine behind its HTTP protocol"
    )
    parser.add_argument("--port", type=int, default=8123, help="on 127.0.0.1; 0 = a free one (default: 8123)")
    parser.add_argument("--path", type=Path, required=True, help="data folder; made when it is missing")
    parser.add_argument("--name", default="devstack", help="display name (default: devstack)")
    parser.add_argument("--certificate", type=Path, help="PEM file of key and certificate: serve https")
    options = parser.parse_args()
    # Before the engine is loaded: a port in use fails at once, and early clients wait instead of being refused.
    listener = socket.create_server(("127.0.0.1", options.port), backlog=128)
    os.environ["TZ"] = "UTC"  # before the engine is loaded: it reads the time zone once

    from chdb import _chdb  # noqa: PLC0415  loading the engine takes its time; `--help` does not need it

    from devstack.clickhouse.engine import Engine  # noqa: PLC0415
    from devstack.clickhouse.server import Server  # noqa: PLC0415

    _chdb.set_signal_handlers_enabled(False)
    options.path.mkdir(parents=True, exist_ok=True)
    users = dict(pair.split(":", 1) for pair in os.environ.get("DEVSTACK_CLICKHOUSE_USERS", "").split(",") if pair)
    tls = None
    if options.certificate is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.certificate)
    engine = Engine(options.path.absolute())
    if tls is None:
        users = {"default": ""} | users
    server = Server(engine, listener, users=users, name=options.name, tls=tls)

    asked_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked_to_stop.set())
    threading.Thread(target=server.serve, daemon=True).start()
    print(
        f"ClickHouse {engine.version} from {options.path} on http://127.0.0.1:{listener.getsockname()[1]}", flush=True
    )
    asked_to_stop.wait()
    server.close()
    engine.close()
    sys.stdout.flush()
    os._exit(0)  # the engine's threads don't end by themselves


if __name__ == "__main__":
    main()
