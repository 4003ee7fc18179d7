"""The gateway's REST API, as the commands use it."""

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Self, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
import httpx_sse
from pydantic import BaseModel, ValidationError

from chassis.errors import text_of
from chassis.livekit_probe import ahead
from contracts.api import (
    MAX_WAIT_MS,
    DrainRequest,
    DrainStarted,
    EndReply,
    HealthReply,
    SessionBill,
    SessionView,
    StartReply,
    StartRequest,
    StatsReply,
    UserBill,
)
from contracts.api_v1 import Entry, NodePage, SessionPage
from contracts.errors import (
    FORBIDDEN,
    NOT_FOUND,
    UNAUTHORIZED,
    UNKNOWN_NODE,
    UNKNOWN_SESSION,
    UNKNOWN_USER,
    Problem,
)
from contracts.transcript import Transcript
from greenroom_cli import network
from greenroom_cli.errors import CommandError

TIMEOUT_S = 15.0  # longer than the gateway's own deadlines, so that the user sees its problem
START_TIMEOUT_S = MAX_WAIT_MS / 1000 + TIMEOUT_S
EVENTS_SILENCE_S = 30.0  # the gateway sends a comment each 10 s

_KEY_FIXES = {
    UNAUTHORIZED.code: "set GREENROOM_API_KEY to a key of that gateway, or name another stack's folder with --state",
    FORBIDDEN.code: "set GREENROOM_API_KEY to a key of that gateway with this scope",
}
_ALL_FAILED = "All connection attempts failed"  # httpx's words for a closed port
_UNKNOWN = frozenset({UNKNOWN_SESSION.code, UNKNOWN_NODE.code, UNKNOWN_USER.code})  # another gateway may know it

Reply = TypeVar("Reply", bound=BaseModel)


class GatewayRefused(CommandError):
    """The gateway answered with a problem.

    Attributes:
        code: The problem's code.
        status: The HTTP status.
    """

    def __init__(self, problem: Problem, url: str) -> None:
        fix = _KEY_FIXES.get(problem.code, problem.fix[:1].lower() + problem.fix[1:])  # it follows a semicolon
        if problem.code in _UNKNOWN:
            fix = f"{fix.rstrip('.')}; name another stack with --state FOLDER or --url"
        super().__init__(f"{problem.title} ({problem.code}, {url}): {problem.detail.rstrip('.')}", fix)
        self.code = problem.code
        self.status = problem.status


class StreamLost(CommandError):
    """A stream of events broke; the next one can go on behind the last event."""


class SessionOver(CommandError):
    """A session has no further steps."""


class _AnswerLost(CommandError):
    """The connection broke after the request was sent, so the gateway may have acted."""


class Gateway:
    """One gateway. Methods raise `GatewayRefused` for its problems, and `CommandError` when it does not answer.

    Attributes:
        clock_ahead_s: Seconds by which this machine's clock was ahead of the gateway's at the last answer.
    """

    def __init__(self, url: str, api_key: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.clock_ahead_s: float | None = None
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers=headers,
            timeout=TIMEOUT_S,
            trust_env=not network.is_loopback(url),  # otherwise use the environment's proxies
            verify=network.trust(),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def check(self) -> None:
        """Return when a gateway answers; its dependencies may be unavailable."""
        await self._ask(HealthReply, "GET", "/health")

    async def ready(self) -> dict[str, str]:
        """The reasons by dependency why the gateway is not ready; empty when it is."""
        answer = await self._send("GET", "/ready")
        try:
            return _Readiness.model_validate_json(answer.content).reasons
        except ValidationError:
            raise await self._refusal(answer) from None

    async def start(self, request: StartRequest | dict[str, Any] | bytes) -> StartReply:
        """Start a session; after a lost answer repeat it with the same key, so that only one session runs.

        Args:
            request: Or its fields, or its body as JSON, which the gateway alone checks.
        """
        body = request
        if isinstance(body, StartRequest):
            # Without defaults: an older gateway refuses the fields that it does not know.
            body = body.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        key = {"Idempotency-Key": uuid4().hex}
        path = "/orchestrator/session/start"
        try:
            return await self._ask(StartReply, "POST", path, body, headers=key, timeout_s=START_TIMEOUT_S)
        except _AnswerLost:
            return await self._ask(StartReply, "POST", path, body, headers=key, timeout_s=START_TIMEOUT_S)

    async def end(self, session_id: str) -> EndReply:
        return await self._ask(EndReply, "POST", "/orchestrator/session/end", {"sessionId": session_id})

    async def session(self, session_id: str) -> SessionView:
        return await self._ask(SessionView, "GET", f"/sessions/{quote(session_id, safe='')}")

    async def sessions(self, query: Mapping[str, str | int | Sequence[str]]) -> SessionPage:
        """One page of sessions, the newest first; `query` as in `GET /v1/sessions`."""
        return await self._ask(SessionPage, "GET", f"/v1/sessions?{httpx.QueryParams(query)}")

    async def transcript(self, session_id: str) -> Transcript:
        return await self._ask(Transcript, "GET", f"/v1/sessions/{quote(session_id, safe='')}/transcript.json")

    async def events(self, session_id: str, after: int | None = None) -> AsyncGenerator[Entry]:
        """The steps of a session as they happen, until the stream ends, which it does after the bill at the latest.

        Args:
            after: The sequence of the last step that is known.

        Raises:
            StreamLost: The stream broke, or a gateway that had sent steps does not answer now, or not soundly.
            SessionOver: The session has ended, and has no step after this one.
        """
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        path = f"/v1/sessions/{quote(session_id, safe='')}/events"
        timeout = httpx.Timeout(TIMEOUT_S, read=EVENTS_SILENCE_S)
        try:
            async with httpx_sse.aconnect_sse(self._http, "GET", path, headers=headers, timeout=timeout) as source:
                if source.response.status_code >= 400:
                    await source.response.aread()
                    refusal = await self._refusal(source.response)
                    # A proxy's, while the gateway restarts.
                    if after is not None and source.response.status_code >= 500:
                        raise StreamLost(refusal.problem, refusal.fix)
                    raise refusal
                if source.response.status_code == 204:
                    raise SessionOver(f"{session_id} has ended, and nothing came after its last known step")
                async for event in source.aiter_sse():
                    if not event.data:  # the stream begins with how soon to ask again
                        continue
                    yield Entry.model_validate_json(event.data)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            is_first = after is None and not isinstance(error, httpx.ReadError | httpx.RemoteProtocolError)
            raise _unreachable(self.url, error, CommandError if is_first else StreamLost) from None

    async def nodes(self) -> NodePage:
        return await self._ask(NodePage, "GET", "/v1/nodes")

    async def drain(self, node_id: str, limit_s: float) -> DrainStarted:
        body = DrainRequest(limit_s=limit_s).model_dump(mode="json", by_alias=True)
        return await self._ask(DrainStarted, "POST", f"/nodes/{quote(node_id, safe='')}/drain", body)

    async def stats(self) -> StatsReply:
        return await self._ask(StatsReply, "GET", "/stats")

    async def session_bill(self, session_id: str) -> SessionBill:
        return await self._ask(SessionBill, "GET", f"/billing/sessions/{quote(session_id, safe='')}")

    async def user_bill(self, user_id: str) -> UserBill:
        name = quote(user_id, safe="")
        in_path = user_id not in (".", "..")  # HTTP clients normalise these two away
        return await self._ask(UserBill, "GET", f"/billing/users/{name}" if in_path else f"/billing/users?user={name}")

    async def _ask(
        self,
        reply: type[Reply],
        method: str,
        path: str,
        body: dict[str, Any] | bytes | None = None,
        *,
        headers: dict[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Reply:
        answer = await self._send(method, path, body, headers=headers, timeout_s=timeout_s)
        if answer.status_code >= 400:
            raise await self._refusal(answer)
        try:
            return reply.model_validate_json(answer.content)
        except ValidationError:
            raise _no_gateway(answer) from None

    async def _send(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | bytes | None = None,
        *,
        headers: dict[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> httpx.Response:
        timeout = httpx.Timeout(TIMEOUT_S, read=timeout_s)
        try:
            if isinstance(body, bytes):
                headers = {"Content-Type": "application/json", **(headers or {})}
                answer = await self._http.request(method, path, content=body, headers=headers, timeout=timeout)
            else:
                answer = await self._http.request(method, path, json=body, headers=headers, timeout=timeout)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            lost = isinstance(error, httpx.ReadError | httpx.RemoteProtocolError)
            raise _unreachable(self.url, error, _AnswerLost if lost else CommandError) from None
        self.clock_ahead_s = ahead(answer.headers.get("Date"), time.time())
        return answer

    async def _refusal(self, answer: httpx.Response) -> CommandError:
        refusal = _refusal(answer, self.url)
        is_unknown_path = not isinstance(refusal, GatewayRefused) or refusal.code == NOT_FOUND.code
        if answer.status_code != HTTPStatus.NOT_FOUND or not is_unknown_path:
            return refusal
        try:
            health = HealthReply.model_validate_json((await self._send("GET", "/health")).content)
        except (CommandError, ValidationError):  # something else answers at this address
            return refusal
        own = version("greenroom-cli")
        if health.service != "gateway" or health.version == own:
            return refusal
        return CommandError(
            f"the gateway at {self.url} is version {health.version} and has no {answer.request.url.path}, which this "
            f"command (version {own}) needs",
            "upgrade the gateway, or use the greenroom command of its version",
        )


class _Readiness(BaseModel):
    reasons: dict[str, str]


def _unreachable(url: str, error: Exception, kind: type[CommandError] = CommandError) -> CommandError:
    why = "it accepts no connections" if str(error) == _ALL_FAILED else text_of(error)
    return kind(
        f"no gateway at {url}: {why}",
        "start one with: greenroom up, or name the folder of a stack with --state, or a gateway with --url or "
        "GREENROOM_URL",
    )


def _refusal(answer: httpx.Response, url: str) -> CommandError:
    try:
        return GatewayRefused(Problem.model_validate_json(answer.content), url)
    except ValidationError:
        return _no_gateway(answer)


def _no_gateway(answer: httpx.Response) -> CommandError:
    start = answer.text[:120].replace("\n", " ")
    return CommandError(
        f"{answer.request.url} answered {answer.status_code}, but not as Greenroom's gateway does: {start}",
        "name the gateway with --url or GREENROOM_URL, or the folder of its stack with --state",
    )
