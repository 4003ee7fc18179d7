"""A small service, run as a process by test_lifecycle: it ends jobs slowly and says on stdout what it did."""

import asyncio
import os

from chassis.lifecycle import Life, Service, run
from chassis.nats import CommandHandlers, command_router
from chassis.settings import ServiceSettings, load
from contracts.commands import EndJob, JobEnded
from contracts.streams import BUCKETS, STREAMS

MODE = os.environ.get("MODE", "")
JOB_S = float(os.environ.get("JOB_S", "1"))

router = command_router()


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


@router.subscriber("voice.v1.node.n1.end", max_workers=8)
async def end(command: EndJob) -> JobEnded:
    say(f"begun {command.session_id}")
    await asyncio.sleep(JOB_S)
    say(f"done {command.session_id}")
    return JobEnded(found=True, served_ms=0, process_gone=True)


async def start(life: Life) -> None:
    bus = await life.connect(streams=STREAMS, buckets=BUCKETS)
    handlers = CommandHandlers(bus, router)
    await life.begin("commands", handlers.start(), stop=handlers.stop)
    for name in ("first", "second"):

        async def stop(name: str = name) -> None:
            say(f"stopped {name}")

        life.on_stop(name, stop)
    if MODE == "failing-task":

        async def fail() -> None:
            await asyncio.sleep(0.3)
            raise RuntimeError("the janitor fell ill")

        life.spawn("janitor", fail())
    if MODE == "stuck-stop":
        life.on_stop("stuck", asyncio.Event().wait, deadline_s=0.5)
    if MODE == "slow-start":
        await life.begin("database", asyncio.Event().wait(), deadline_s=0.5, fix="Check DATABASE_URL.")
    if MODE == "long-start":
        say("starting")
        await life.begin("database", asyncio.Event().wait(), deadline_s=60)
    if MODE == "bug":
        raise KeyError("no such thing")
    say("started")


if __name__ == "__main__":
    run(Service("node", load(ServiceSettings), start))
