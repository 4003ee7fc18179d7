"""What a user of NATS needs beside what it publishes."""

import pytest

from contracts.streams import BUCKETS, STREAMS, stream_name
from contracts.users import NATS_USERS, NatsUser


def stored_in(subject: str) -> str | None:
    """The stream that stores what is published to this subject, if one does."""
    if subject.startswith("$KV."):
        return f"KV_{subject.split('.')[1]}"
    for spec in STREAMS:
        for pattern in spec.subjects:
            tokens, given = pattern.split("."), subject.split(".")
            if all(t in ("*", ">", g) or g in ("*", ">") for t, g in zip(tokens, given, strict=False)):
                return spec.name
    return None


@pytest.mark.parametrize("user", [user for user in NATS_USERS if user.publish != (">",)], ids=lambda user: user.name)
def test_each_user_may_ask_about_the_streams_that_it_writes(user: NatsUser) -> None:
    """The bus does so after a publish without an answer; a refusal would be told as the publish's own fault."""
    writes = {stored_in(subject) for subject in user.publish} - {None}
    asks = {subject.removeprefix("$JS.API.STREAM.INFO.") for subject in user.publish}

    assert writes <= {stream_name(spec) for spec in (*STREAMS, *BUCKETS)}
    assert writes, "every service writes something"
    assert writes - asks == set()
