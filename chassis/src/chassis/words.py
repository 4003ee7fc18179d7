"""Sealing the words of the log's events: AES-256-GCM with one key a session.

The session and the event are authenticated with the words, so that sealed words cannot be moved to another event.
"""

import base64
import binascii
import json
import os
from typing import Final, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from chassis import logs, metrics
from contracts.events import Event
from contracts.words import with_words, without_words, words_of

_NONCE_BYTES: Final = 12

_UNOPENED: Final = metrics.counter("words_unopened_total", "Sealed events that their session's key does not open")

log = logs.get_logger(__name__)

E = TypeVar("E", bound=Event)


def new_secret() -> str:
    """A new session's secret: 256 random bits as base64."""
    return base64.b64encode(AESGCM.generate_key(256)).decode()


def seal(event: E, secret: str) -> E:
    """Move the event's words into its field `sealed`; an event without words is returned unchanged.

    Args:
        secret: The session's; empty: the words stay in the clear.
    """
    words = words_of(event) if secret else {}
    if not words:
        return event
    nonce = os.urandom(_NONCE_BYTES)
    plain = json.dumps(words, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")
    box = AESGCM(base64.b64decode(secret)).encrypt(nonce, plain, _bound_to(event))
    return without_words(event, sealed=base64.b64encode(nonce + box).decode())


def opened(event: E, secret: str | None) -> E:
    """The event with its words in their fields; without its key it keeps its facts only.

    Args:
        secret: The session's; None or empty: it is erased or lost.
    """
    sealed: str = getattr(event, "sealed", "")
    if not sealed or not secret:
        return event
    try:
        box = base64.b64decode(sealed)
        plain = AESGCM(base64.b64decode(secret)).decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], _bound_to(event))
        return with_words(event, json.loads(plain.decode(errors="surrogatepass")))
    except (InvalidTag, binascii.Error, ValueError) as error:
        _UNOPENED.inc()
        log.error("words.unopened", session_id=event.session_id, kind=event.event, reason=type(error).__name__)
        return event


def _bound_to(event: Event) -> bytes:
    return f"{event.subject}/{event.id}".encode()
