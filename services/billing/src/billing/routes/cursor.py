"""The cursor of a paged list: opaque to clients, the start of the next page for billing."""

import base64
import binascii

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from billing.ports import PageStart
from contracts.ids import SessionId


class _Cursor(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    at: int = Field(ge=0, le=2**63 - 1)
    session: SessionId


class BadCursor(Exception):
    """Not a cursor of an earlier page."""


def write(start: PageStart) -> str:
    """Encode the start of a page as URL-safe text."""
    cursor = _Cursor(at=start.settled_ms, session=start.session_id)
    return base64.urlsafe_b64encode(cursor.model_dump_json().encode()).decode().rstrip("=")


def read(text: str) -> PageStart:
    """Decode a cursor.

    Raises:
        BadCursor: `write` did not make this text.
    """
    try:
        body = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        cursor = _Cursor.model_validate_json(body)
    except (binascii.Error, ValidationError, ValueError) as error:
        raise BadCursor from error
    return PageStart(cursor.at, cursor.session)
