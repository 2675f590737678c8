"""`make demo`: the whole path on real parts, with three customers, live changes and a verdict.

Exit codes: 0 PASS, 1 FAIL or something died, 2 usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import secrets
import signal
import sys
from pathlib import Path
from typing import Any

from demo.run import Options, run
from devstack.process import PartFailed, write_atomically
from stream.errors import ScorestreamError
from testbed.rig import Died
from testbed.screen import Screen


def main(arguments: list[str] | None = None) -> int:
    """Run it; the last line is the verdict."""
    asked = _arguments(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    screen = Screen(to_stderr=asked.json)
    options = Options(
        folder=asked.dir,
        rate=asked.rate,
        seconds=asked.seconds,
        scale=asked.scale,
        seed=secrets.randbelow(1 << 31) if asked.seed is None else asked.seed,
        keep=asked.keep,
    )
    try:
        result = run(options, screen)
    except KeyboardInterrupt:
        return _end(screen, asked, {"demo": "FAIL", "faults": ["interrupted"]}, "demo: FAIL interrupted", 130)
    except (Died, PartFailed, ScorestreamError) as error:
        screen.say(str(error))
        first = str(error).strip().splitlines()[0].partition("; the end of ")[0]  # the tail is shown above
        return _end(screen, asked, {"demo": "FAIL", "faults": [first]}, f"demo: FAIL {first}", 1)
    except Exception as error:  # a fault of the demo's own: the verdict line comes all the same
        screen.console.print_exception()
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        return _end(screen, asked, {"demo": "FAIL", "faults": [text]}, f"demo: FAIL {text}", 1)
    return _end(screen, asked, result.as_json(), result.verdict(), 1 if result.faults else 0)


def _end(screen: Screen, asked: argparse.Namespace, figures: dict[str, Any], verdict: str, code: int) -> int:
    write_atomically(asked.dir / "demo.json", json.dumps(figures, indent=2) + "\n", mode=0o644)
    if asked.json:
        print(json.dumps(figures, indent=2))
    screen.say(verdict)
    return code


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="demo",
        description="Three customers, live changes, and the comparison of both stores, on the local stack.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--rate", type=_positive, default=500.0, help="live row changes a second")
    parser.add_argument("--seconds", type=_positive, default=20.0, help="how long live changes are written")
    parser.add_argument("--scale", type=_positive, default=1.0, help="factor on the numbers of rows that are loaded")
    parser.add_argument("--dir", type=Path, default=Path(".devstack"), help="folder of the stack")
    parser.add_argument(
        "--seed", type=int, help="of the rows; a stack must not see one twice (default: another each time)"
    )
    parser.add_argument("--keep", action="store_true", help="leave the stack and the worker running")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on stdout, all else on stderr")
    return parser.parse_args(sys.argv[1:] if arguments is None else arguments)


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
