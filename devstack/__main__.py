"""The command: `python -m devstack up|down|clean|status|logs|env|start|stop|restart|kill`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from devstack import environment
from devstack.process import PartFailed
from devstack.stack import Stack


def main() -> int:
    """Exit 0 = done and all well, 1 = a part failed or died, 2 = usage."""
    options = _options()
    try:
        return _run(options)
    except PartFailed as failed:
        print(f"devstack: {failed}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(options: argparse.Namespace) -> int:
    begun = time.monotonic()
    stack = Stack(
        options.dir,
        brokers=getattr(options, "brokers", None),
        connect_workers=getattr(options, "connect_workers", None),
        secure=getattr(options, "secure", None),
        say=lambda line: print(line, flush=True),
    )
    parts = options.parts.split(",") if getattr(options, "parts", None) else None
    match options.verb:
        case "up":
            stack.up(parts)
            print(f"settings in {options.dir / 'env'}; {time.monotonic() - begun:.1f} s")
        case "down":
            stack.down(parts)
        case "clean":
            stack.clean()
        case "status":
            return _status(stack, as_json=options.json)
        case "logs":
            for name in options.part or stack.parts:
                print(f"== {name}\n{stack.parts[_known(stack, name)].process.log_tail(options.lines)}")
        case "env":
            print(environment.as_shell(stack.env()), end="")
        case "start" | "stop" | "kill" | "restart":
            for name in options.part:
                _known(stack, name)
                if options.verb in ("stop", "restart"):
                    stack.stop(name)
                if options.verb == "kill":
                    stack.kill(name)
                if options.verb in ("start", "restart"):
                    stack.start(name)
    return 0


def _known(stack: Stack, name: str) -> str:
    if name not in stack.parts:
        raise PartFailed(f"no part {name!r}; there are {', '.join(stack.parts)}")
    return name


def _status(stack: Stack, *, as_json: bool) -> int:
    rows = stack.status()
    if as_json:
        print(json.dumps([asdict(row) | {"log": str(row.log)} for row in rows]))
    else:
        print(f"{'part':<13} {'state':<8} {'port':>5} {'pid':>7} {'MB':>6}  log")
        for row in rows:
            print(f"{row.name:<13} {row.state:<8} {row.port:>5} {row.pid or '-':>7} {row.memory_mb:>6.0f}  {row.log}")
        print(f"{'together':<35} {sum(row.memory_mb for row in rows):>6.0f}")
    died = [row for row in rows if row.state == "died"]
    for row in died:
        print(f"{row.name} died; the end of its log:\n{stack.parts[row.name].process.log_tail()}", file=sys.stderr)
    return 1 if died else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="devstack", description="the local stack without Docker")
    verbs = parser.add_subparsers(dest="verb", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--dir", type=Path, default=Path(".devstack"), help="folder of the stack (default: .devstack)")
    some = argparse.ArgumentParser(add_help=False)
    some.add_argument("--parts", help="postgres,kafka,connect,clickhouse (default: all)")
    up = verbs.add_parser("up", parents=[common, some], help="start what is not running, wait for it, write env")
    up.add_argument("--brokers", type=int, help="of a new stack; 3 keep each message on two (default: 1)")
    up.add_argument("--connect-workers", type=int, help="of a new stack, in one group (default: 1)")
    up.add_argument(
        "--secure", action="store_const", const=True, help="of a new stack: TLS, passwords and ACLs in all parts"
    )
    verbs.add_parser("down", parents=[common, some], help="stop; the data stays")
    verbs.add_parser("clean", parents=[common], help="stop, and remove the data")
    status = verbs.add_parser("status", parents=[common], help="each part; exit 1 and the log's tail where one died")
    status.add_argument("--json", action="store_true")
    logs = verbs.add_parser("logs", parents=[common], help="the end of the logs")
    logs.add_argument("part", nargs="*")
    logs.add_argument("--lines", type=int, default=40, help="(default: 40)")
    verbs.add_parser("env", parents=[common], help="print the settings")
    for verb, what in (("start", "start"), ("stop", "stop"), ("restart", "stop and start"), ("kill", "SIGKILL")):
        verbs.add_parser(verb, parents=[common], help=f"{what} single parts").add_argument("part", nargs="+")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
