"""What schemathesis cannot know of the API: how LiveKit signs, and which tools this gateway allows."""

import base64
import hashlib
import json
import time
from typing import Any

import jwt
import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response

from tests.integration.gateway.stack import API_KEY, API_SECRET

TO_BE_SIGNED = "to-be-signed"
STARTS = {"start_session", "start_session_alias"}


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Sign a webhook over the bytes that are sent, where the case has a key at all."""
    del context, kwargs
    if case.path != "/livekit/webhook" or (case.headers or {}).get("Authorization") != TO_BE_SIGNED:
        return
    if isinstance(case.body, dict):
        case.body = json.dumps(case.body).encode()
    body = case.body if isinstance(case.body, bytes) else b""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    claims = {"iss": API_KEY, "sha256": digest, "exp": int(time.time()) + 60}
    case.headers["Authorization"] = jwt.encode(claims, API_SECRET, algorithm="HS256")


@schemathesis.check
def a_valid_start_without_tools_is_accepted(ctx: CheckContext, response: Response, case: Case) -> bool | None:
    """`positive_data_acceptance`, but for tools: which hosts are allowed is the gateway's setting, not its document."""
    del ctx
    if case.operation.definition.raw.get("operationId") not in STARTS or not isinstance(case.body, dict):
        return None
    if case.meta is None or not case.meta.generation.mode.is_positive or case.body.get("tools"):
        return None
    assert response.status_code in {200, 409, 429, 503}, f"A valid start was refused: {response.text}"
    return None
