"""The stacks in the watchdog's log."""

from __future__ import annotations

import asyncio
import threading

from stream.live.stacks import stacks


def test_stacks_of_threads_and_tasks() -> None:
    release = threading.Event()

    def hangs_here() -> None:
        release.wait()

    thread = threading.Thread(target=hangs_here, name="hanging")
    thread.start()

    async def waits_here() -> None:
        await asyncio.Event().wait()

    async def main() -> list[tuple[str, str]]:
        task = asyncio.create_task(waits_here())
        await asyncio.sleep(0)
        try:
            return stacks([("loop", asyncio.get_running_loop()), ("none", None)])
        finally:
            task.cancel()

    try:
        found = dict(asyncio.run(main()))
    finally:
        release.set()
        thread.join()
    assert "hangs_here" in found["thread hanging"]
    (waiting,) = [at for name, at in found.items() if name.startswith("task loop/") and "waits_here" in name]
    assert "waits_here" in waiting
    assert "\n" not in "".join(found.values())
