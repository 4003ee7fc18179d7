"""LiveKit tokens for callers."""

import calendar
import json
from dataclasses import dataclass
from datetime import datetime

import jwt

from contracts.ids import caller_identity


@dataclass(frozen=True)
class CallerTokens:
    """Mints the token with which a caller joins a session's room.

    Made here rather than by LiveKit's SDK, whose tokens depend on the current time: a repeated start gets the same one.

    Attributes:
        ttl_s: TTL of a token, in seconds; without its room a token is useless.
    """

    api_key: str
    api_secret: str
    ttl_s: int

    def mint(self, session_id: str, *, user_id: str, name: str, now: datetime) -> str:
        """A token for this room only: subscribe to every track, publish a microphone, send data.

        LiveKit knows no grant for single topics. The agent reads text streams of `lk.chat` and nothing else.
        """
        issued = calendar.timegm(now.utctimetuple())
        claims = {
            "iss": self.api_key,
            "sub": caller_identity(session_id),
            "name": name,
            "nbf": issued,
            "exp": issued + self.ttl_s,
            "metadata": json.dumps({"sessionId": session_id, "userId": user_id}, ensure_ascii=False),
            "video": {
                "roomJoin": True,
                "room": session_id,
                "canPublish": True,
                "canPublishSources": ["microphone"],
                "canSubscribe": True,
                "canPublishData": True,
                "canUpdateOwnMetadata": False,
            },
        }
        return jwt.encode(claims, self.api_secret, algorithm="HS256")  # pyright: ignore[reportUnknownMemberType]
