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

    Attributes:
        ttl_s: How long a token lives, in seconds; without its room it opens nothing anyway.
    """

    api_key: str
    api_secret: str
    ttl_s: int

    def mint(self, session_id: str, *, user_id: str, name: str, now: datetime) -> str:
        """A token for this one room: hear everything, publish a microphone, nothing else.

        The same arguments give the same token, so that a repeated start gets the same answer.

        Args:
            user_id: Goes into the participant's metadata, never into its identity.
            name: The participant's display name.
            now: From when it holds.
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
                "canPublishData": False,
                "canUpdateOwnMetadata": False,
            },
        }
        return jwt.encode(claims, self.api_secret, algorithm="HS256")  # pyright: ignore[reportUnknownMemberType]
