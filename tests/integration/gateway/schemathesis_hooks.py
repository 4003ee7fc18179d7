"""What schemathesis cannot know of the API: how LiveKit signs, and which valid starts may be refused."""

import base64
import hashlib
import json
import re
import time
from typing import Any, cast

import jwt
import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response

from tests.support.servers import API_KEY, API_SECRET

TO_BE_SIGNED = "to-be-signed"
STARTS = {"start_session", "start_session_alias"}
STREAMS = {"follow_session_events", "follow_sessions"}


# What names may not hold, and the published pattern does not say: engines spell these in different ways.
BEYOND_THE_PATTERN = re.compile(
    "[\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    "|[\U00010000-\U0001efff\U0001fb00-\U0010ffff]\ufe0f"
)


@schemathesis.hook
def filter_body(context: HookContext, body: Any) -> bool:
    """Leave out the names that are refused although they match the pattern."""
    del context
    names = (cast("dict[str, Any]", body).get(field) for field in ("userName", "userId")) if type(body) is dict else ()
    return not any(isinstance(name, str) and BEYOND_THE_PATTERN.search(name) for name in names)


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Bound a stream; sign a webhook over the bytes that are sent, where the case has a key at all."""
    del context, kwargs
    deadline = (case.query or {}).get("deadlineMs")
    if case.operation.definition.raw.get("operationId") in STREAMS and (deadline is None or _is_long(deadline)):
        case.query = {**(case.query or {}), "deadlineMs": 100}
    if case.path != "/livekit/webhook" or (case.headers or {}).get("Authorization") != TO_BE_SIGNED:
        return
    if isinstance(case.body, dict):
        case.body = json.dumps(case.body).encode()
    body = case.body if isinstance(case.body, bytes) else b""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    claims = {"iss": API_KEY, "sha256": digest, "exp": int(time.time()) + 60}
    case.headers["Authorization"] = jwt.encode(claims, API_SECRET, algorithm="HS256")


@schemathesis.check
def a_valid_start_is_accepted(ctx: CheckContext, response: Response, case: Case) -> bool | None:
    """`positive_data_acceptance` for starts, but for what `_may_be_refused` names."""
    del ctx
    if case.operation.definition.raw.get("operationId") not in STARTS or not isinstance(case.body, dict):
        return None
    body = cast("dict[str, Any]", case.body)
    if case.meta is None or not case.meta.generation.mode.is_positive or _may_be_refused(body):
        return None
    if response.status_code in {503, 504}:
        waits = body.get("wait", "accepted") != "accepted"
        assert waits or body.get("deadlineMs") is not None, f"Late without a deadline of its own: {response.text}"
        assert response.json()["retryable"], response.text
    else:
        assert response.status_code in {200, 409, 429}, f"A valid start was refused: {response.text}"
    return None


def _is_long(deadline: Any) -> bool:
    return str(deadline).isdecimal() and 100 < int(str(deadline)) <= 3_600_000


def _may_be_refused(body: dict[str, Any]) -> bool:
    """Rules that no schema can say: allowed hosts are a setting, fields belong together, a line needs a letter."""
    limits = {body.get("creditLimit"), body.get("maxMinutes")} - {None}
    speaks_to_nobody = body.get("wait") == "speaking" and body.get("sessionId") is None
    line = body.get("openingLine")
    says_nothing = isinstance(line, str) and not any(character.isalnum() for character in line)
    return bool(body.get("tools")) or len(limits) > 1 or speaks_to_nobody or says_nothing
