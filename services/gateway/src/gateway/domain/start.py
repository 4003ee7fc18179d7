"""A start's event in the log, and the comparison of two starts."""

from datetime import datetime
from types import MappingProxyType
from typing import Any

from pydantic.alias_generators import to_camel

from contracts.api import StartRequest
from contracts.errors import FieldError, invalid_fields
from contracts.events import Event, SessionRequested
from contracts.lines import Replaced, lines_in
from contracts.parsing import parse_event
from contracts.tools import recorded
from gateway.domain.accounts import Accounts, shown_user_id

_ANY_SESSION = "session_0"
_NAMES = Accounts()


def requested(
    body: StartRequest,
    session_id: str,
    now: datetime,
    replaced: Replaced = MappingProxyType({}),
    accounts: Accounts = _NAMES,
) -> SessionRequested:
    """The `requested` event of a start that is accepted at `now`.

    Args:
        replaced: Lines that replace the table's: the default opening line is among them.
    """
    user_id, derived = accounts.of_start(body)
    opening = lines_in(body.language, replaced).opening.replace("{name}", body.user_name)
    return SessionRequested(
        session_id=session_id,
        time=now,
        user_name=body.user_name,
        user_id=user_id,
        user_id_derived=derived,
        voice_id=body.voice_id,
        opening_line=body.opening_line or opening,
        system_prompt=body.system_prompt,
        language=body.language,
        end_call=body.end_call,
        interruptible=body.interruptible,
        metadata=dict(body.metadata),
        credit_limit_minutes=body.credit_limit_minutes,
        tools=tuple(recorded(tool) for tool in body.tools),
    )


def check_recordable(body: StartRequest, now: datetime) -> None:
    """Serialise the start's event and parse it again, before anything is created for the start.

    Raises:
        Refused: `invalid_request` with the fields that other services could not read.
    """
    event = requested(body, _ANY_SESSION, now)
    if _read_back(event) == event:
        return
    plain = requested(StartRequest(user_name="-"), _ANY_SESSION, now)
    names = [name for name in SessionRequested.model_fields if not _survives(plain, name, getattr(event, name))]
    errors = tuple(
        FieldError(field=to_camel(name), message="does not survive being written as JSON and read back")
        for name in names
    )
    raise invalid_fields(errors)


def _read_back(event: SessionRequested) -> Event | None:
    try:
        return parse_event(event.subject, event.model_dump_json().encode())
    except (ValueError, RecursionError):  # pydantic's errors of serialisation and validation are ValueErrors
        return None


def _survives(plain: SessionRequested, name: str, value: object) -> bool:
    event = plain.model_copy(update={name: value})
    return _read_back(event) == event


def is_owner(user: str, request: SessionRequested) -> bool:
    """Whether the start named this user as `userName` or `userId`."""
    return user in (request.user_name, request.user_id)


def is_same_start(ours: SessionRequested, stored: SessionRequested) -> bool:
    """Whether two requests differ at most in their time, and in ACCOUNT_KEY.

    Their event ids do not tell: two requests with the same session id have the same event id.
    """
    return _compared(ours) == _compared(stored)


def _compared(request: SessionRequested) -> dict[str, Any]:
    fields = request.model_dump(exclude={"time", "user_id_derived"})
    return {**fields, "user_id": shown_user_id(request)}
