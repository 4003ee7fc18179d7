"""Idempotency keys: their names in the bucket, and the comparison of requests.

A fingerprint's form is versioned, to recognise entries of another version. Form 2 omits values that equal their
default, so that a field that an upgrade adds does not change the fingerprint of requests without it.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from pydantic import BaseModel

from contracts.api import StartRequest
from contracts.events import Outcome, SessionEnded
from contracts.registry import IdempotentStart

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
    """A key's name in the bucket: a hash, since a client's key may contain characters that a bucket refuses.

    Args:
        caller: The API key that sent it; empty on a gateway without keys.
        route: A name for the route and its aliases.
    """
    return _sha256("\n".join((_FORM, caller, route, key)))


def fingerprint(body: BaseModel, *, leaving_out: Collection[str] = (), **path: str) -> str:
    """A hash of the request's meaning, independent of spacing, field order and explicit defaults.

    Args:
        path: The parameters of the route's path.
    """
    given = body.model_dump(mode="json", exclude_defaults=True, exclude=set(leaving_out))
    meaning = {name: value for name, value in given.items() if value not in (None, [], {})}
    return _FORM + _sha256(_canonical({**meaning, **path}))


def start_fingerprint(body: StartRequest) -> str:
    """The fingerprint of a start, without the fields about waiting for the answer."""
    return fingerprint(body, leaving_out=_HOW_TO_ANSWER)


def is_same(ours: str, stored: str) -> bool:
    """Whether the stored fingerprint equals ours; True also for one of another form, which we cannot compute."""
    return stored == ours or not stored.startswith(_FORM)


def is_same_first_form(body: StartRequest, stored: IdempotentStart) -> bool:
    """Whether an entry of the first version, whose fingerprint covers every field of that version, is for this body.

    That version included `wait`, so every value of it is tried.
    """
    meaning = {name: value for name, value in body.model_dump(mode="json").items() if name in _FIRST_FORM}
    meaning["tools"] = [{k: v for k, v in tool.items() if k in _FIRST_FORM_OF_A_TOOL} for tool in meaning["tools"]]
    waits = ("accepted", "joined", "speaking")
    return stored.body_sha256 in {_sha256(_canonical({**meaning, "wait": wait})) for wait in waits}


def first_form_name(key: str) -> str:
    """The name of a start's key in the first version, for any caller."""
    return _sha256(key)


def may_start_again(ended: SessionEnded) -> bool:
    """Whether the key may start another session: its session failed or was rejected, and costs nothing."""
    return ended.outcome in (Outcome.REJECTED, Outcome.FAILED) and ended.billable_ms == 0


def of_start(body: StartRequest, session_id: str) -> IdempotentStart:
    return IdempotentStart(body_sha256=start_fingerprint(body), session_id=session_id)


def _canonical(meaning: Mapping[str, Any]) -> str:
    return json.dumps(meaning, sort_keys=True, separators=(",", ":"))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
