"""A small service, run as a process by test_lifecycle: it handles ticks slowly and says on stdout what it did."""

import asyncio
import os

from chassis.lifecycle import Life, Service, run
from chassis.nats import Stored, consumer
from chassis.settings import ServiceSettings, load
from contracts.events import Event
from contracts.streams import BUCKETS, STREAMS
from contracts.subjects import session_event

MODE = os.environ.get("MODE", "")


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


async def start(life: Life) -> None:
    bus = await life.connect(streams=STREAMS, buckets=BUCKETS)

    async def handle(event: Event, _meta: Stored) -> None:
        say(f"begun {event.session_id}")
        await asyncio.sleep(1)
        say(f"done {event.session_id}")

    reader = consumer(bus, "reader", [session_event("tick", "*")], handle)
    await life.begin("reader", reader.start(), stop=reader.stop)
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
    run(Service("reader", load(ServiceSettings), start))
