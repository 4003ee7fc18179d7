"""`Idempotency-Key` on any route: a repeated request gets the first answer again."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel, ValidationError

from chassis.logs import get_logger
from contracts.api import IDEMPOTENCY_KEY_PATTERN
from contracts.errors import IDEMPOTENCY_MISMATCH, Refused
from contracts.registry import IdempotentReply
from gateway.domain import idempotency
from gateway.ports import IdempotencyKeys, Unavailable

log = get_logger(__name__)

REPLAYED: Final = "Idempotent-Replayed"
REPLAYED_DOCUMENTED: Final = {
    REPLAYED: {"description": "`true` on an answer to a repeated Idempotency-Key", "schema": {"type": "string"}}
}

Reply = TypeVar("Reply", bound=BaseModel)


@dataclass(frozen=True)
class RequestKey:
    """One client's key for one route.

    Attributes:
        value: As the client sent it.
        name: Its name in the bucket.
    """

    value: str
    name: str


@dataclass(frozen=True)
class SentKey:
    """A request's header, and the API key that sent it."""

    value: str | None
    caller: str

    def of(self, route: str) -> RequestKey | None:
        """The key for this route and its aliases; None when the request has none."""
        if self.value is None:
            return None
        return RequestKey(self.value, idempotency.entry_name(self.value, caller=self.caller, route=route))


async def _sent(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            pattern=IDEMPOTENCY_KEY_PATTERN,
            description="Requests with the same key and body get the same answer for 24 hours. "
            "Keys of other routes and other API keys do not collide.",
        ),
    ] = None,
) -> SentKey:
    return SentKey(idempotency_key, getattr(request.state, "api_key_id", ""))


IdempotencyKey = Annotated[SentKey, Depends(_sent)]


async def once(
    key: RequestKey | None,
    fingerprint: str,
    keys: IdempotencyKeys,
    response: Response,
    reply: type[Reply],
    act: Callable[[], Awaitable[Reply]],
) -> Reply:
    """Act, or return the stored answer of an earlier attempt of this request.

    A failed attempt stores no answer, so its repetition acts again: `act` must be safe to repeat.

    Raises:
        Refused: `idempotency_mismatch`, `idempotency_store_full`, and the refusals of `act`.
    """
    if key is None:
        return await act()
    keyed = await keys.put_if_absent(key.name, IdempotentReply(body_sha256=fingerprint))
    if not idempotency.is_same(fingerprint, keyed.entry.body_sha256):
        raise Refused(IDEMPOTENCY_MISMATCH, "This Idempotency-Key was used for another request of this route.")
    if keyed.entry.reply is not None:
        try:
            given = reply.model_validate(keyed.entry.reply)
        except ValidationError:
            given = None  # of another version
        if given is not None:
            response.headers[REPLAYED] = "true"
            return given
    answer = await act()
    stored = IdempotentReply(body_sha256=fingerprint, reply=answer.model_dump(mode="json"))
    try:
        await keys.replace(key.name, keyed, stored)
    except (Refused, Unavailable) as error:  # the request succeeded; a repetition acts again
        log.warning("idempotency.answer_not_kept", route=reply.__name__, reason=error.detail)
    return answer
