"""A long constant answer: all requests share its bytes."""

from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_PIECE: Final = 32 * 1024


class InPieces(Response):
    """Sends its body in pieces of 32 KB, so that no connection holds a copy of the whole."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for at in range(0, max(1, len(self.body)), _PIECE):
            piece, more = self.body[at : at + _PIECE], at + _PIECE < len(self.body)
            await send({"type": "http.response.body", "body": bytes(piece), "more_body": more})
