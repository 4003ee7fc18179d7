"""Greenroom's problems (RFC 9457), one entry per kind of refusal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Fault = Literal["client", "capacity", "provider", "platform"]
"""Who can fix the problem. client: the caller of the API. capacity: more nodes, or a later retry. provider: a speech or
language provider. platform: the operator."""

MOST_FIELDS: Final = 20
"""Limit of the fields that one refusal names."""

_SERVER_ERRORS: Final = 500


@dataclass(frozen=True)
class ProblemType:
    """One kind of refusal.

    Attributes:
        code: Stable name for programs.
        fix: What the reader can do.
        blame: The `fault`, when the status does not tell.
    """

    code: str
    status: int
    title: str
    fix: str
    retryable: bool = False
    blame: Fault | None = None

    @property
    def fault(self) -> Fault:
        """`blame`, or client for a status below 500, else platform."""
        return self.blame or ("client" if self.status < _SERVER_ERRORS else "platform")


class FieldError(BaseModel):
    """One invalid field of the request."""

    model_config = ConfigDict(frozen=True)

    field: str
    message: str


class Problem(BaseModel):
    """The body of an error, `application/problem+json`."""

    model_config = ConfigDict(frozen=True)

    type: str
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    code: str
    fix: str
    retryable: bool
    fault: Fault = Field(default="platform", description="who can fix the problem")
    request_id: str
    errors: tuple[FieldError, ...] = ()
    session_id: str | None = Field(default=None, description="the session concerned, if any")


INVALID_REQUEST: Final = ProblemType("invalid_request", 422, "Invalid request", "Correct the fields named in `errors`.")
MALFORMED_BODY: Final = ProblemType(
    "malformed_body",
    400,
    "The body is not a JSON object",
    "Send a JSON object with the header Content-Type: application/json (a webhook: application/webhook+json).",
)
BODY_TOO_LARGE: Final = ProblemType(
    "body_too_large", 413, "The body is too large", "Send a shorter body; the limit is in `detail`."
)
BODY_TOO_SLOW: Final = ProblemType(
    "body_too_slow", 408, "The body did not arrive in time", "Send the body without pauses.", retryable=True
)
UNAUTHORIZED: Final = ProblemType(
    "unauthorized",
    401,
    "The API key is missing or unknown",
    "Send one of the keys in GREENROOM_API_KEYS as `Authorization: Bearer <key>` or `X-API-Key: <key>`.",
)
FORBIDDEN: Final = ProblemType(
    "forbidden",
    403,
    "The API key lacks a scope",
    "Use a key with the scope named in `detail`; scopes are set in GREENROOM_API_KEYS as KEY[sessions+tokens].",
)
FOREIGN_REQUEST: Final = ProblemType(
    "foreign_request",
    403,
    "A gateway without API keys only answers requests from its own machine",
    "Set GREENROOM_API_KEYS, or call http://127.0.0.1 without a proxy. GREENROOM_PUBLIC_HOST and "
    "CORS_ALLOWED_ORIGINS allow further hosts and web pages.",
)
ORIGIN_NOT_ALLOWED: Final = ProblemType(
    "origin_not_allowed",
    403,
    "This web page may not call the API",
    "Call from your backend, or add the page's origin to CORS_ALLOWED_ORIGINS.",
)
NOT_SESSION_OWNER: Final = ProblemType(
    "not_session_owner",
    403,
    "The session belongs to another user",
    "Ask for the token with the start's `userName` or `userId`; TOKEN_ANY_USER=true turns the check off.",
)
INVALID_SESSION_ID: Final = ProblemType(
    "invalid_session_id",
    422,
    "Invalid session id",
    "Use session_ and 1 to 72 letters, digits, '_' or '-'; a start without `sessionId` gets a new one.",
)
SESSION_ID_TAKEN: Final = ProblemType(
    "session_id_taken", 409, "The session id is in use", "Leave `sessionId` out, or use a new one for each session."
)
SESSION_ENDED: Final = ProblemType("session_ended", 409, "The session has ended", "Start a new session.")
SESSION_RUNNING: Final = ProblemType(
    "session_running",
    409,
    "The session is still running, or not billed yet",
    "End it with POST /orchestrator/session/end, wait for its bill, 6 hours at most, and repeat the request.",
)
UNKNOWN_SESSION: Final = ProblemType(
    "unknown_session", 404, "No such session", "Check the session id; sessions are kept for 7 days."
)
UNKNOWN_NODE: Final = ProblemType(
    "unknown_node", 404, "No live node has this id", "See GET /stats or `greenroom nodes` for the live nodes."
)
NODE_SILENT: Final = ProblemType(
    "node_silent", 504, "The node does not answer", "Repeat the request; see the node's log.", retryable=True
)
UNKNOWN_USER: Final = ProblemType(
    "unknown_user", 404, "No such user", "Check the user; a user exists after the first billed session."
)
NOT_BILLED_YET: Final = ProblemType(
    "not_billed_yet", 404, "The session is not billed yet", "Ask again after its end.", retryable=True
)
UNKNOWN_VOICE: Final = ProblemType("unknown_voice", 422, "Unknown voice", "Choose one of the voices named in `detail`.")
TOOL_NOT_ALLOWED: Final = ProblemType(
    "tool_not_allowed",
    422,
    "The host of a tool is not allowed",
    "Add the host to TOOL_ALLOWED_HOSTS of the gateway and of the nodes, or leave the tool out.",
)
BAD_SIGNATURE: Final = ProblemType(
    "bad_signature",
    401,
    "Invalid webhook signature",
    "Sign with the gateway's LIVEKIT_API_KEY and LIVEKIT_API_SECRET; check both clocks.",
)
IDEMPOTENCY_MISMATCH: Final = ProblemType(
    "idempotency_mismatch",
    409,
    "The Idempotency-Key was already used with another body",
    "Use a new key for a new request, or repeat the request with the same body.",
)
LOG_FULL: Final = ProblemType(
    "log_full",
    503,
    "The event log has no space for another session",
    "Running calls continue. Free disk space on the NATS server and restart it, check why billing lags, or raise "
    "SESSIONS_MAX_MB; see docs/runbooks/full-disk.md.",
    retryable=True,
)
IDEMPOTENCY_STORE_FULL: Final = ProblemType(
    "idempotency_store_full",
    503,
    "The store of Idempotency-Keys is full",
    "Raise IDEMPOTENCY_MAX_MB of the gateway; keys are kept for 24 hours.",
    retryable=True,
    blame="capacity",
)
SEATS_FULL: Final = ProblemType(
    "seats_full",
    503,
    "The store of client-chosen session ids is full",
    "Leave `sessionId` out of the start, or raise SEATS_MAX_MB of the gateway; chosen ids are kept for 2 hours.",
    retryable=True,
    blame="capacity",
)
KEYS_FULL: Final = ProblemType(
    "keys_full",
    503,
    "The store of the keys for words is full",
    "Raise KEYS_MAX_MB of the scheduler; a session's key is kept a day longer than the log keeps the session.",
    retryable=True,
    blame="capacity",
)
ROOM_TAKEN: Final = ProblemType(
    "room_taken",
    409,
    "LiveKit has another room with this name",
    "Close that room, or leave `sessionId` out to get a new one.",
)
TOKEN_FIRST: Final = ProblemType(
    "token_first",
    422,
    "`wait: speaking` needs a caller who already has a token",
    "Send `Accept: text/event-stream`: the stream begins with the token. Or choose a `sessionId`, get its token "
    "with POST /api/token and then start. Or leave `wait` out and follow GET /v1/sessions/{id}/start.",
)
NO_CAPACITY: Final = ProblemType(
    "no_capacity",
    503,
    "No capacity for another agent",
    "Try again later, add nodes, or raise MAX_BOTS.",
    retryable=True,
    blame="capacity",
)
QUEUE_FULL: Final = ProblemType(
    "queue_full",
    429,
    "Too many starts are waiting",
    "Repeat the start after Retry-After seconds, add nodes, or raise MAX_BOTS.",
    retryable=True,
    blame="capacity",
)
TOO_MANY_WAITING: Final = ProblemType(
    "too_many_waiting",
    503,
    "Too many requests are waiting for an agent",
    "Start without `wait` and follow GET /v1/sessions/{id}/start, or raise START_WAITS_MAX.",
    retryable=True,
    blame="capacity",
)
TOO_MANY_STREAMS: Final = ProblemType(
    "too_many_streams",
    503,
    "Too many event streams are open",
    "Close a stream, follow GET /v1/events instead of single sessions, add a gateway, or raise EVENT_STREAMS_MAX.",
    retryable=True,
    blame="capacity",
)
AGENT_START_TIMEOUT: Final = ProblemType(
    "agent_start_timeout",
    503,
    "The agent did not reach the room in time",
    "Repeat the start; check the nodes' logs and run `greenroom doctor`.",
    retryable=True,
)
PROVIDER_UNAVAILABLE: Final = ProblemType(
    "provider_unavailable",
    503,
    "A speech or language provider failed",
    "Repeat the start. `detail` names the provider; check its status page.",
    retryable=True,
    blame="provider",
)
CALLER_NEVER_JOINED: Final = ProblemType(
    "caller_never_joined",
    409,
    "The caller did not join the room",
    "Start a new session and connect to `serverUrl` with the `token` within CALLER_JOIN_TIMEOUT_S.",
)
START_FAILED: Final = ProblemType(
    "start_failed", 503, "The agent could not be started", "See `detail`; run `greenroom doctor`.", retryable=True
)
START_PENDING: Final = ProblemType(
    "start_pending",
    504,
    "The agent is not ready yet",
    "Follow GET /v1/sessions/{id}/start, or repeat the POST with the same Idempotency-Key.",
    retryable=True,
)
GATEWAY_STOPPING: Final = ProblemType(
    "gateway_stopping",
    503,
    "This gateway is shutting down",
    "Repeat the request; another gateway will answer, or this one after its restart.",
    retryable=True,
)
LOG_REFUSED: Final = ProblemType(
    "log_refused",
    500,
    "The event log refused the event",
    "Look for the request id in the logs; they have the reason that NATS gave.",
)
SESSION_UNREADABLE: Final = ProblemType(
    "session_unreadable",
    500,
    "The session's record cannot be read",
    "Look at `dead.unreadable.>` in the stream DEAD; a newer version may be able to read the record.",
)
END_PENDING: Final = ProblemType(
    "end_pending", 504, "The end of the session is not confirmed yet", "Repeat the request.", retryable=True
)
BUS_UNAVAILABLE: Final = ProblemType(
    "bus_unavailable", 503, "NATS does not answer", "Check NATS_URL and that nats-server runs.", retryable=True
)
LIVEKIT_UNAVAILABLE: Final = ProblemType(
    "livekit_unavailable",
    503,
    "LiveKit does not answer",
    "Check LIVEKIT_URL and that livekit-server runs.",
    retryable=True,
)
LIVEKIT_REFUSED: Final = ProblemType(
    "livekit_refused",
    502,
    "LiveKit refuses the gateway's credentials",
    "Check that LIVEKIT_API_KEY and LIVEKIT_API_SECRET match the LiveKit server's.",
)
CLOCK_SKEW: Final = ProblemType(
    "clock_skew",
    502,
    "The clocks of the gateway and LiveKit differ",
    "Synchronise both clocks (NTP); LiveKit refuses tokens that are 60 s off.",
)
REDIS_UNAVAILABLE: Final = ProblemType(
    "redis_unavailable", 503, "Redis does not answer", "Check REDIS_URL and that Redis runs.", retryable=True
)
BILLING_UNAVAILABLE: Final = ProblemType(
    "billing_unavailable", 503, "Billing does not answer", "Check that the billing service runs.", retryable=True
)
INSUFFICIENT_CREDIT: Final = ProblemType(
    "insufficient_credit", 402, "The user has no credit left", "Add credit to the user's account."
)
NOT_FOUND: Final = ProblemType(
    "not_found", 404, "No such page", "See the API documentation at /docs, or the web console at /console."
)
METHOD_NOT_ALLOWED: Final = ProblemType(
    "method_not_allowed", 405, "The method is not allowed here", "See the API documentation at /docs."
)
OVERLOADED: Final = ProblemType(
    "overloaded", 503, "Too many connections", "Try again in a moment.", retryable=True, blame="capacity"
)
DEADLINE_EXCEEDED: Final = ProblemType(
    "deadline_exceeded",
    504,
    "The request took too long",
    "Repeat the request; look for the request id in the logs.",
    retryable=True,
)
INTERNAL: Final = ProblemType(
    "internal", 500, "Something went wrong on our side", "Look for the request id in the logs.", retryable=True
)

PROBLEMS: Final[Mapping[str, ProblemType]] = {
    kind.code: kind for kind in tuple(globals().values()) if isinstance(kind, ProblemType)
}
"""Every kind in this module, by its code."""


class Refused(Exception):
    """A refused request; the edge turns it into a problem.

    Attributes:
        problem: The kind of refusal.
        detail: The cause of this refusal, in one sentence.
        errors: The invalid fields, if any.
        retry_after_s: Seconds after which a retry makes sense.
        session_id: The session concerned, if any.
        fix: What the reader can do about this cause; default: the problem's own fix.
    """

    def __init__(
        self,
        problem: ProblemType,
        detail: str,
        *,
        fix: str | None = None,
        errors: tuple[FieldError, ...] = (),
        retry_after_s: int | None = None,
        session_id: str | None = None,
    ) -> None:
        super().__init__(f"{problem.code}: {detail}")
        self.problem = problem
        self.detail = detail
        self.fix = fix or problem.fix
        self.errors = errors
        self.retry_after_s = retry_after_s
        self.session_id = session_id


def invalid_fields(errors: tuple[FieldError, ...], *, fix: str | None = None) -> Refused:
    """The refusal that names these fields."""
    names = ", ".join(error.field for error in errors)
    return Refused(INVALID_REQUEST, f"Invalid fields: {names}.", fix=fix, errors=errors)
