"""nats-py's exceptions as ours. Only this module knows both."""

import ssl
from json import JSONDecodeError
from typing import Final

import nats.errors
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError

from chassis.nats.connection.client import NotEncrypted
from chassis.nats.errors import (
    ApiError,
    BusClosed,
    BusUnavailable,
    Declined,
    NoReply,
    NoStorage,
    NoSubscriber,
    NotFound,
    StreamMissing,
    Unsendable,
)

NATS_ERRORS: Final = (nats.errors.Error, TimeoutError, JSONDecodeError, UnicodeDecodeError)
"""What a call to nats-py may raise; the last two for an answer from a stranger that listens on the subject."""

_STREAM_NOT_FOUND: Final = 10059
_NO_STORAGE: Final = 10047


def translated(error: Exception, doing: str, url: str) -> BusUnavailable:
    """Our error for one of `NATS_ERRORS`."""
    text = f"{doing}: {error}"
    match error:
        case nats.errors.ConnectionClosedError():
            return BusClosed(text, url)
        case TimeoutError():
            return NoReply(f"{doing}: no reply", url)
        case nats.errors.NoRespondersError() | NoStreamResponseError():
            return NoSubscriber(text, url)
        case nats.errors.MaxPayloadError() | nats.errors.BadSubjectError() | nats.errors.BadHeaderError():
            return Unsendable(text, url)
        case APIError():
            return _api_error(error, doing, url)
        case _:
            return BusUnavailable(text, url)


def _api_error(error: APIError, doing: str, url: str) -> ApiError:
    if error.err_code == _STREAM_NOT_FOUND:
        kind = StreamMissing
    elif error.err_code == _NO_STORAGE:
        kind = NoStorage
    elif isinstance(error, NotFoundError):
        kind = NotFound
    else:
        kind = Declined if (error.code or 500) < 500 else ApiError
    return kind(doing, url, err_code=error.err_code or 0, description=error.description or str(error))


def is_bad_login(error: Exception) -> bool:
    return isinstance(error, nats.errors.AuthorizationError) or "authorization violation" in str(error).lower()


def login_refusal(error: Exception) -> str | None:
    """Why connecting can never succeed; None if a retry may."""
    if is_bad_login(error):
        return "wrong user or password"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}); NATS_CA_FILE names the authority it is from"
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        reason = (error.reason or "").replace("_", " ").lower()
        return f"TLS failed ({reason}); NATS_CERT_FILE is the certificate that we show, NATS_CA_FILE whom we trust"
    return str(error) if isinstance(error, NotEncrypted) else None
