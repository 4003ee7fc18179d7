"""Inworld's list of voices, cached."""

import asyncio
from http import HTTPStatus
from time import monotonic
from typing import Any, cast

import httpx

from chassis.logs import get_logger
from chassis.tasks import Tasks, cancel

log = get_logger(__name__)

# Inworld moved the list in 2026; servers with the old interface have the second path only.
_PATHS = ("/voices/v1/voices", "/tts/v1/voices")
_MAX_PAGES = 20
_RETRY_S = 30


class InworldVoices:
    """`ports.Voices`: fetched at first use and again after the TTL; a call waits for it at most until its deadline."""

    def __init__(self, base_url: str, api_key: str | None, *, ttl_s: float, deadline_s: float) -> None:
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._ttl_s = ttl_s
        self._deadline_s = deadline_s
        self._voices: frozenset[str] | None = None
        self._fresh_until = 0.0
        self._fetching: asyncio.Task[None] | None = None

    async def known(self) -> frozenset[str] | None:
        """Return the list; a stale list serves while a new one is fetched."""
        if self._api_key is None:
            return None
        if monotonic() >= self._fresh_until:
            if self._fetching is None or self._fetching.done():
                self._fetching = Tasks().spawn(self._refresh(), name="inworld-voices")
            if self._voices is None:
                await asyncio.wait({self._fetching}, timeout=self._deadline_s)
        return self._voices

    async def close(self) -> None:
        if self._fetching is not None:
            await cancel(self._fetching)

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(self._deadline_s):
                self._voices = await self._fetch()
            self._fresh_until = monotonic() + self._ttl_s
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
            # Pause the fetches, so that an unavailable provider does not delay every start by the deadline.
            self._fresh_until = monotonic() + min(_RETRY_S, self._ttl_s)
            log.warning("voices.unavailable", url=self._base_url, error=f"{type(error).__name__}: {error}")

    async def _fetch(self) -> frozenset[str] | None:
        headers = {"Authorization": f"Basic {self._api_key}"}
        async with httpx.AsyncClient(base_url=self._base_url, headers=headers, timeout=self._deadline_s) as client:
            for path in _PATHS:
                first = await client.get(path)
                if first.status_code == HTTPStatus.NOT_FOUND:
                    continue
                return await _all_pages(client, path, first) or None
        raise ValueError("404 on every known path")


async def _all_pages(client: httpx.AsyncClient, path: str, response: httpx.Response) -> frozenset[str]:
    found: set[str] = set()
    for _ in range(_MAX_PAGES):
        page = _object(response.raise_for_status().json())
        voices: list[Any] = page.get("voices") or []
        found |= {voice["voiceId"] for voice in map(_object, voices) if isinstance(voice.get("voiceId"), str)}
        token = page.get("nextPageToken")
        if not isinstance(token, str) or not token:
            break
        response = await client.get(path, params={"pageToken": token})
    return frozenset(found)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("not a list of voices")
    return cast(dict[str, Any], value)
