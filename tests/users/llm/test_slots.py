"""Slots hold over threads and processes, die with their process, and nobody starves for one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from pathlib import Path

from tau_retail_env.users.llm.slots import Slots

HOLDER = """
    import asyncio, sys, time
    from pathlib import Path
    from tau_retail_env.users.llm.slots import Slots

    async def main():
        async with Slots(Path(sys.argv[1])).slot(int(sys.argv[2])):
            print("held", flush=True)
            await asyncio.to_thread(sys.stdin.read)

    asyncio.run(main())
"""
GREEDY = """
    import asyncio, sys
    from pathlib import Path
    from tau_retail_env.users.llm.slots import Slots

    async def ask(slots, turns):
        for _ in range(turns):
            async with slots.slot(1):
                await asyncio.sleep(0.002)

    async def main():
        slots = Slots(Path(sys.argv[1]))
        async with slots.slot(1):
            print("held", flush=True)
        await asyncio.gather(*(ask(slots, 10_000) for _ in range(8)))

    asyncio.run(main())
"""


def process(program: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
    started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == "held\n"
    return started


async def is_free(path: Path, max_concurrency: int) -> bool:
    slots = Slots(path)
    try:
        async with asyncio.timeout(0.1), slots.slot(max_concurrency):
            return True
    except TimeoutError:
        return False
    finally:
        slots.close()


def test_no_more_than_allowed_run_at_once_in_a_process(tmp_path):
    at_once: list[int] = []
    running = 0

    async def ask(slots: Slots) -> None:
        nonlocal running
        async with slots.slot(3):
            running += 1
            at_once.append(running)
            await asyncio.sleep(0.002)
            running -= 1

    async def main() -> None:
        slots = Slots(tmp_path / "slots")
        await asyncio.gather(*(ask(slots) for _ in range(20)))
        slots.close()

    asyncio.run(main())
    assert max(at_once) == 3
    assert len(at_once) == 20


def test_another_process_holds_its_slot_until_it_dies(tmp_path):
    path = tmp_path / "slots"
    holder = process(HOLDER, path, 1)
    try:
        assert not asyncio.run(is_free(path, 1))
        assert asyncio.run(is_free(path, 2))
    finally:
        holder.kill()
        holder.wait()
    assert asyncio.run(is_free(path, 1))


def test_a_process_with_a_long_queue_does_not_starve_another(tmp_path):
    path = tmp_path / "slots"
    greedy = process(GREEDY, path)

    async def main() -> int:
        slots = Slots(path)
        turns = 0
        try:
            async with asyncio.timeout(20):
                while turns < 5:
                    async with slots.slot(1):
                        turns += 1
        finally:
            slots.close()
        return turns

    try:
        assert asyncio.run(main()) == 5
        assert greedy.poll() is None
    finally:
        greedy.kill()
        greedy.wait()


def test_a_caller_that_is_called_off_leaves_its_slot(tmp_path):
    async def main() -> None:
        slots = Slots(tmp_path / "slots")

        async def hold() -> None:
            async with slots.slot(1):
                await asyncio.sleep(60)

        holder, waiter = asyncio.create_task(hold()), asyncio.create_task(hold())
        await asyncio.sleep(0.02)
        for task in (holder, waiter):
            task.cancel()
        await asyncio.gather(holder, waiter, return_exceptions=True)
        async with asyncio.timeout(1), slots.slot(1):
            pass
        slots.close()

    asyncio.run(main())
