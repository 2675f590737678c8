"""verify, repair, verify again; and the same again and again as a service with metrics."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable

from stream import metrics
from stream.errors import ClickHouseRefused, PostgresRefused, Retry
from stream.settings_sections import WebSettings
from stream.verify.repair import VerifyOutcome
from stream.web.health import Health, HealthCheck
from stream.web.server import serve

log = logging.getLogger(__name__)


def watch(
    web: WebSettings,
    compare: Callable[[], VerifyOutcome],
    *,
    installation: str,
    announce: Callable[[str], contextlib.AbstractContextManager[object]],
    every_s: float,
    stopping: threading.Event,
    on_outcome: Callable[[VerifyOutcome], None],
) -> None:
    """Compare every `every_s` seconds until `stopping` is set; /metrics and probes on SCORESTREAM_WEB_PORT.

    Args:
        compare: one verify, with stores that it opens and closes.
        installation: whose metrics they are.
        announce: tells monitors where this process answers.

    A store that is away fails one comparison, not the service. So does one that refuses what it took before, as while a
    password is rotated. A KeyboardInterrupt ends it within a comparison, too.

    Raises:
        ClickHouseRefused, PostgresRefused: before any comparison came to its end.
    """
    state = _Watched()
    serving = serve(web, health=state.health, role="verify", installation=installation)
    with contextlib.suppress(KeyboardInterrupt), serving as server, announce(server.url):
        log.info("watching", extra={"every_s": every_s, "url": server.url})
        while not stopping.is_set():
            began = time.monotonic()
            try:
                outcome = compare()
            except (Retry, ClickHouseRefused, PostgresRefused) as error:
                if not isinstance(error, Retry) and not state.compared:
                    raise
                state.fault = str(error)
                log.warning("comparison failed", extra={"cause": str(error)})
            else:
                state.fault, state.compared = "", True
                _record(outcome)
                on_outcome(outcome)
            stopping.wait(max(0.0, every_s - (time.monotonic() - began)))


class _Watched:
    """The probes' answer: ready once a comparison came to its end."""

    def __init__(self) -> None:
        self.fault = "no comparison yet"
        self.compared = False

    def health(self) -> Health:
        return Health(
            live=(HealthCheck("process", ok=True),),
            ready=(HealthCheck("comparison", ok=not self.fault, reason=self.fault),),
        )


def _record(outcome: VerifyOutcome) -> None:
    last = outcome.verified
    different = len(last.wrong_cells)
    metrics.VERIFY_CELLS.labels("clean").set(last.cells - different)
    metrics.VERIFY_CELLS.labels("different").set(different)
    for what in ("missing", "extra", "stale"):
        metrics.VERIFY_ROWS.labels(what).set(sum(n for (_, kind), n in last.counts.items() if kind == what))
    metrics.VERIFY_ROWS.labels("not_comparable").set(last.not_comparable)
    metrics.VERIFY_APPEALS.set(outcome.visible_appeals)
    metrics.VERIFY_SECONDS.set(last.seconds)
    now = time.time()
    metrics.VERIFY_LAST_RUN.set(now)
    if outcome.clean:
        metrics.VERIFY_LAST_CLEAN.set(now)
