"""`python -m tests.benchmarks.people URL`: many people at once, as a process of their own; reads bursts from stdin as JSON.

The measured clock is the sandbox's, so these people must not share a process with it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import aiohttp


async def act(url: str, bursts: list[list[dict[str, Any]]], every_s: float) -> None:
    """Begin a burst every `every_s` seconds; everybody in it acts at once. Returns when all were answered or given up."""
    limitless = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=limitless, timeout=aiohttp.ClientTimeout(60)) as session:
        async with session.get(f"{url}/control/session") as answer:
            headers = {"X-Sandbox-Token": (await answer.json())["token"]}

        async def one(step: dict[str, Any]) -> None:
            async with session.post(f"{url}/control/{step['verb']}", json=step["body"], headers=headers) as answer:
                await answer.read()
                if answer.status != 200:
                    print(f"{step} was answered {answer.status}: {await answer.text()}", file=sys.stderr)

        loop, acting = asyncio.get_running_loop(), []
        began = loop.time()
        for number, burst in enumerate(bursts):
            await asyncio.sleep(max(0.0, began + number * every_s - loop.time()))
            acting += [asyncio.create_task(one(step)) for step in burst]
        await asyncio.gather(*acting)


def main(url: str) -> None:
    """Read `{"bursts", "every_s"}` from stdin and act."""
    told = json.load(sys.stdin)
    asyncio.run(act(url, told["bursts"], told["every_s"]))


if __name__ == "__main__":
    main(sys.argv[1])
