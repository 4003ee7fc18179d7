"""Health: alive is not ready, and not ready says why."""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from chassis import metrics
from chassis.errors import StartFailed
from chassis.health import Health, Notes
from chassis.web import WebServer


async def fine() -> str | None:
    return None


async def broken() -> str | None:
    return "no connection"


async def stuck() -> str | None:
    await asyncio.Event().wait()
    return None


async def bug() -> str | None:
    raise RuntimeError("bug")


@pytest.fixture
def health() -> Health:
    health = Health("test", version="1.2.3")
    health.is_serving()
    return health


@pytest.fixture
async def client(health: Health) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(health.app()), base_url="http://test") as client:
        yield client


async def test_alive_says_who(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health")).json() == {"status": "ok", "service": "test", "version": "1.2.3"}


async def test_ready_when_every_check_passes(health: Health, client: httpx.AsyncClient) -> None:
    health.add("nats", fine)
    assert (await client.get("/ready")).status_code == 200


@pytest.mark.parametrize(
    ("check", "reason"), [(broken, "no connection"), (stuck, "no answer in 1 s"), (bug, "RuntimeError: bug")]
)
async def test_not_ready_says_why(health: Health, client: httpx.AsyncClient, check: object, reason: str) -> None:
    health.add("fine", fine)
    health.add("nats", check)  # pyright: ignore[reportArgumentType]
    answer = await client.get("/ready")
    assert (answer.status_code, answer.json()["reasons"]) == (503, {"nats": reason})
    assert (await client.get("/health")).status_code == 200


async def test_checks_are_asked_beside_each_other(health: Health) -> None:
    for n in range(5):
        health.add(f"stuck {n}", stuck)
    started = time.monotonic()
    assert len(await health.reasons()) == 5
    assert time.monotonic() - started < 2


async def test_checks_that_come_and_go_are_seen(health: Health) -> None:
    more = {"nats": broken}
    health.include(more)
    assert await health.reasons() == {"nats": "no connection"}
    more["consumer"] = broken
    del more["nats"]
    assert await health.reasons() == {"consumer": "no connection"}


async def test_starting_and_draining_are_not_ready() -> None:
    health = Health("test")
    assert await health.reasons() == {"process": "starting"}
    health.is_serving()
    assert await health.reasons() == {}
    health.is_draining()
    assert await health.reasons() == {"process": "draining"}


async def test_metrics_are_prometheus_text(client: httpx.AsyncClient) -> None:
    metrics.counter("test_things_total", "Things", ("kind",)).labels("a").inc(3)
    assert metrics.counter("test_things_total", "Things", ("kind",)) is metrics.counter("test_things_total", "Things")
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'test_things_total{kind="a"} 3.0' in answer.text


async def test_a_server_takes_a_free_port_and_gives_it_back(health: Health) -> None:
    server = WebServer(health.app(), host="127.0.0.1", port=0)
    await server.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client:
        assert (await client.get("/ready")).status_code == 200
    with pytest.raises(StartFailed, match=f"port {server.port} on 127.0.0.1 is in use") as caught:
        await WebServer(health.app(), host="127.0.0.1", port=server.port, variable="HEALTH_PORT").start()
    assert "HEALTH_PORT" in caught.value.fix

    await server.stop()
    again = WebServer(health.app(), host="127.0.0.1", port=server.port)
    await again.start()
    await again.stop()
    await again.stop()


async def test_a_host_that_is_none_of_ours_is_named(health: Health) -> None:
    with pytest.raises(StartFailed, match="cannot be used"):
        await WebServer(health.app(), host="203.0.113.7", port=0).start()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_probe_waits_for_the_first_look_at_what_is_missing_and_for_no_other() -> None:
    clock, looks = Clock(), list[str]()

    async def look() -> str | None:
        looks.append("look")
        return "gone" if len(looks) == 1 else await stuck()

    notes = Notes(clock)
    notes.add("Redis", look)

    assert await notes.missing() == {"Redis": "gone"}
    clock.now = 4.9
    assert await notes.missing() == {"Redis": "gone"}
    assert len(looks) == 1
    clock.now = 5.0
    async with asyncio.timeout(0.5):
        assert await notes.missing() == {"Redis": "gone"}
    await asyncio.sleep(0.01)
    assert len(looks) == 2
