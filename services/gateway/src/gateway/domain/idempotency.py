"""Request keys: under which name one is kept, and when two requests are the same.

The form of a fingerprint is versioned, so that entries of another version are recognised as such. Form 2 leaves out
what equals its default: a field that an upgrade adds changes no fingerprint of a request that does not use it.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from contracts.api import StartRequest
from contracts.events import Outcome, SessionEnded
from contracts.registry import IdempotentStart
from pydantic import BaseModel

_FORM: Final = "2:"
_HOW_TO_ANSWER: Final = frozenset({"wait", "deadline_ms"})
_FIRST_FORM: Final = (
    "user_name",
    "voice_id",
    "opening_line",
    "system_prompt",
    "session_id",
    "user_id",
    "metadata",
    "tools",
    "wait",
)
_FIRST_FORM_OF_A_TOOL: Final = frozenset({"name", "description", "parameters", "url", "method", "timeout_s"})


def entry_name(key: str, *, caller: str, route: str) -> str:
    """The name that the bucket keeps a request key under: a client's key may hold what a bucket's may not.

    Args:
        caller: Which API key sent it; empty on an open gateway.
        route: A name for the route and its aliases.
    """
    return _sha256("\n".join((_FORM, caller, route, key)))


def fingerprint(body: BaseModel, *, leaving_out: Collection[str] = (), **path: str) -> str:
    """What a request means: spacing, field order and spelt-out defaults make no difference.

    Args:
        path: The parameters of the route's path.
    """
    given = body.model_dump(mode="json", exclude_defaults=True, exclude=set(leaving_out))
    meaning = {name: value for name, value in given.items() if value not in (None, [], {})}
    return _FORM + _sha256(_canonical({**meaning, **path}))


def start_fingerprint(body: StartRequest) -> str:
    """The fingerprint of a start, without how its answer waits."""
    return fingerprint(body, leaving_out=_HOW_TO_ANSWER)


def is_same(ours: str, stored: str) -> bool:
    """Whether the stored fingerprint is that of our request, as far as we can compute its form."""
    return stored == ours or not stored.startswith(_FORM)


def is_same_first_form(body: StartRequest, stored: IdempotentStart) -> bool:
    """Whether an entry of the first version, whose fingerprint holds every field of that time, is for this body.

    Its tries may differ in `wait`, which that version held to be part of the request.
    """
    meaning = {name: value for name, value in body.model_dump(mode="json").items() if name in _FIRST_FORM}
    meaning["tools"] = [{k: v for k, v in tool.items() if k in _FIRST_FORM_OF_A_TOOL} for tool in meaning["tools"]]
    waits = ("accepted", "joined", "speaking")
    return stored.body_sha256 in {_sha256(_canonical({**meaning, "wait": wait})) for wait in waits}


def first_form_name(key: str) -> str:
    """The name under which the first version kept a start's key, for every caller."""
    return _sha256(key)


def may_start_again(ended: SessionEnded) -> bool:
    """Whether a key is free again: its session came to nothing through no fault of the caller, and costs nothing."""
    return ended.outcome in (Outcome.REJECTED, Outcome.FAILED) and ended.billable_ms == 0


def of_start(body: StartRequest, session_id: str) -> IdempotentStart:
    """The entry of a start."""
    return IdempotentStart(body_sha256=start_fingerprint(body), session_id=session_id)


def _canonical(meaning: Mapping[str, Any]) -> str:
    return json.dumps(meaning, sort_keys=True, separators=(",", ":"))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
