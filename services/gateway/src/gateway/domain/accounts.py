"""The account that pays for a start, which an erasure leaves in the log and in the bill."""

import hmac
from dataclasses import dataclass, field
from typing import Final

from contracts.api import StartRequest
from contracts.events import SessionRequested

PREFIX: Final = "account_"
_DIGITS: Final = 32  # 128 bits


@dataclass(frozen=True)
class Accounts:
    """The accounts of starts without a `userId`.

    Attributes:
        key: ACCOUNT_KEY; empty: the user's name is the account.
    """

    key: str = field(default="", repr=False)

    def of_name(self, user_name: str) -> str:
        """The account of this name; with a key, a pseudonym that cannot be guessed without the key."""
        if not self.key:
            return user_name
        digest = hmac.digest(self.key.encode(), user_name.encode(errors="surrogatepass"), "sha256")
        return f"{PREFIX}{digest.hex()[:_DIGITS]}"

    def of_start(self, body: StartRequest) -> tuple[str, bool]:
        """The start's account, and whether it is a pseudonym of the user's name."""
        if body.user_id is not None:
            return body.user_id, False
        return self.of_name(body.user_name), bool(self.key)


def shown_user_id(requested: SessionRequested) -> str:
    """The session's `userId` for its readers: the name instead of its pseudonym, until the name is erased."""
    is_pseudonym = requested.user_id_derived and requested.user_name
    return requested.user_name if is_pseudonym else requested.user_id
