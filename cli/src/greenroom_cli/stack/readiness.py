"""Readiness checks: None when ready, otherwise what is missing."""

import asyncio

import httpx

from chassis.errors import text_of
from greenroom_cli.stack.ports import LOOPBACK
from greenroom_cli.stack.process import Ready

ATTEMPT_S = 2.0
_CLOSED = "it accepts no connections yet"


def says(port: int, expected: bytes, question: bytes = b"") -> Ready:
    """Ready when the server on `port` answers `question` (or a connection) with text that begins with `expected`."""

    async def ready() -> str | None:
        try:
            async with asyncio.timeout(ATTEMPT_S):
                reader, writer = await asyncio.open_connection(LOOPBACK, port)
                try:
                    writer.write(question)
                    answer = await reader.read(512)
                finally:
                    writer.close()
        except ConnectionRefusedError:
            return f"no answer on port {port}: {_CLOSED}"
        except (OSError, TimeoutError) as error:
            return f"no answer on port {port}: {str(error) or 'timed out'}"
        return None if answer.startswith(expected) else f"port {port} answered {answer[:80]!r}"

    return ready


def _reasons(url: str, answer: httpx.Response) -> str:
    """What a service says is missing; the answer itself if it is not a service's."""
    try:
        reasons: dict[str, str] = answer.json()["reasons"]
        return "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    except (ValueError, LookupError, TypeError, AttributeError):
        return f"{url} answered {answer.status_code} {answer.text[:300]}"


def serves(url: str) -> Ready:
    """Ready when a GET of `url` answers 200."""

    async def ready() -> str | None:
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=ATTEMPT_S) as client:
                answer = await client.get(url)
        except httpx.ConnectError:
            return f"no answer from {url}: {_CLOSED}"
        except httpx.HTTPError as error:
            return f"no answer from {url}: {text_of(error)}"
        return None if answer.status_code == 200 else _reasons(url, answer)

    return ready
