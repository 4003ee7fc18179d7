"""The billing service over HTTP."""

import ssl
from http import HTTPStatus
from time import perf_counter
from typing import TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from chassis.logs import get_logger
from contracts.api import Dependency, SessionBill, UserBill
from contracts.errors import BILLING_UNAVAILABLE, PROBLEMS, Problem, Refused

_RETRY_AFTER_S = 5

log = get_logger(__name__)

_Body = TypeVar("_Body", bound=BaseModel)


class BillingHttp:
    """`ports.Billing`, with a deadline for each call."""

    def __init__(self, url: str, *, deadline_s: float) -> None:
        self._url = url
        # Billing is part of this deployment; a proxy in the environment is for other hosts.
        self._client = httpx.AsyncClient(
            base_url=url, timeout=deadline_s, trust_env=False, verify=ssl.create_default_context()
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def check(self) -> Dependency:
        began = perf_counter()
        try:
            response = await self._client.get("/ready")
        except httpx.HTTPError as error:
            return Dependency(ok=False, detail=type(error).__name__)
        if response.status_code != HTTPStatus.OK:
            return Dependency(ok=False, detail=f"it answered {response.status_code}")
        return Dependency(ok=True, latency_ms=round((perf_counter() - began) * 1000, 2))

    async def session(self, session_id: str) -> SessionBill:
        return await self._get(SessionBill, f"/billing/sessions/{quote(session_id, safe='')}", {})

    async def user(
        self, user_id: str, *, limit: int | None, cursor: str | None, account: str | None = None
    ) -> UserBill:
        query = {"limit": None if limit is None else str(limit), "cursor": cursor, "account": account}
        path = f"/billing/users/{quote(user_id, safe='')}"
        if user_id in (".", ".."):  # HTTP clients normalise these away; an older billing has only the path
            path, query["user"] = "/billing/users", user_id
        return await self._get(
            UserBill,
            path,
            {key: value for key, value in query.items() if value is not None},
        )

    async def _get(self, body: type[_Body], path: str, query: dict[str, str]) -> _Body:
        try:
            response = await self._client.get(path, params=query)
            if response.status_code == HTTPStatus.OK:
                return body.model_validate_json(response.content)
            problem = Problem.model_validate_json(response.content)
        except (httpx.HTTPError, ValidationError) as error:
            raise self._unavailable(type(error).__name__) from error
        kind = PROBLEMS.get(problem.code)
        if kind is None or kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise self._unavailable(f"it answered {response.status_code} {problem.code}", _retry_after(response))
        raise Refused(kind, problem.detail, errors=problem.errors, retry_after_s=_retry_after(response))

    def _unavailable(self, why: str, after_s: int | None = None) -> Refused:
        log.warning("billing.unavailable", url=self._url, reason=why)  # only the log gets the address
        return Refused(BILLING_UNAVAILABLE, f"Billing: {why}.", retry_after_s=after_s or _RETRY_AFTER_S)


def _retry_after(response: httpx.Response) -> int | None:
    text = response.headers.get("Retry-After", "")
    return int(text) if text.isdecimal() else None
