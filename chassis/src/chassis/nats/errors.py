"""Everything that NATS can answer with, as one hierarchy. Nothing else of nats-py's errors leaves this package.

`BusUnavailable` and its subclasses: no usable answer, the outcome may be unknown, a later try may succeed.
The other subclasses of `BusError`: a definite answer; the same call gets it again.
"""

from typing import Final

from chassis.errors import StartFailed

_CHECK_USER: Final = (
    "Check the user and password in NATS_URL, and the user's permissions in nats-server's configuration."
)
_MORE_DISK: Final = (
    "Free disk where nats-server's store_dir is, or lower SESSIONS_MAX_MB, KEYS_MAX_MB, IDEMPOTENCY_MAX_MB or "
    "SEATS_MAX_MB, and restart nats-server. docs/troubleshooting.md says how much it needs."
)
GRANT_IT: Final = "Add it to the user's permissions in nats-server's configuration."


class BusError(Exception):
    """The base of all."""


class BusUnavailable(BusError, StartFailed):
    """No answer from NATS by the deadline; a message may have been stored or not."""

    def __init__(self, doing: str, url: str) -> None:
        StartFailed.__init__(
            self, f"NATS at {url} does not answer: {doing}", "Check NATS_URL and that nats-server runs."
        )
        self.doing = doing
        self.url = url


class NoReply(BusUnavailable):
    """The connection is there, and no reply came in time."""


class BusClosed(BusUnavailable):
    """This connection is closed for good; the process must end."""


class NotPermitted(BusUnavailable):
    """The server refused the user a subject. It says so beside the call, which then gets no reply."""

    def __init__(self, doing: str, refusal: str, url: str) -> None:
        super().__init__(f"{doing} ({refusal})", url)
        self.refusal = refusal


class ApiError(BusUnavailable):
    """JetStream answered with an error.

    Attributes:
        err_code: NATS' own number of the error.
        description: The server's words.
    """

    def __init__(self, doing: str, url: str, *, err_code: int, description: str) -> None:
        super().__init__(f"{doing}: {description}", url)
        self.err_code = err_code
        self.description = description


class Declined(ApiError):
    """The request is wrong: a code below 500."""


class NotFound(Declined):
    """The stream has no such message or consumer."""


class StreamMissing(Declined):
    """The stream does not exist: its store was lost, or no service has declared it yet."""


class NoStorage(ApiError):
    """The server's storage is smaller than the maximum sizes of its streams, which it reserves."""


class NoSubscriber(BusUnavailable):
    """No process or stream listens on the subject: a stream is missing, or has no leader now."""


class Unsendable(BusUnavailable):
    """The client rejects the message: too large, or a bad subject or header."""


class StreamFull(BusUnavailable):
    """The stream or bucket has reached its maximum size, and discards nothing."""


class NotStored(BusUnavailable):
    """The stream can be read but stores nothing: its disk is full, or was full and nats-server has not restarted."""

    def __init__(self, doing: str, stream: str, url: str) -> None:
        StartFailed.__init__(
            self,
            f"the stream {stream} can be read, but nats-server stores nothing in it: {doing}",
            "See whether its disk is full; once there is room, restart nats-server (docs/runbooks/full-disk.md).",
        )
        self.doing = f"{doing}: the stream {stream} can be read and stores nothing (is its disk full?)"
        self.stream = stream
        self.url = url


class BusRefused(BusError, StartFailed):
    """The server rejects our credentials, or does not permit the operation."""

    def __init__(self, cause: str, url: str, *, fix: str = _CHECK_USER) -> None:
        StartFailed.__init__(self, f"NATS at {url} refuses us: {cause}", fix)
        self.url = url


class NoDisk(BusRefused):
    """nats-server's disk is too small for the maximum sizes of all streams and buckets, which it reserves."""

    def __init__(self, stream: str, max_bytes: int, reason: str, url: str) -> None:
        StartFailed.__init__(
            self,
            f"nats-server's disk has no room for the stream {stream} ({max_bytes >> 20} MB): {reason}",
            _MORE_DISK,
        )
        self.url = url


class PublishRefused(BusError):
    """The stream rejects the message: too large, or the wrong subject."""

    def __init__(self, subject: str, reason: str) -> None:
        super().__init__(f"{subject}: {reason}")
        self.subject = subject
        self.reason = reason


class SequenceConflict(BusError):
    """The subject has a newer message than the expected one.

    Attributes:
        last_seq: Sequence of the subject's last message now; 0 when there is none.
        last_event_id: That message's id, None when it has none.
    """

    def __init__(self, subject: str, last_seq: int, last_event_id: str | None) -> None:
        super().__init__(f"{subject}: the last message is {last_seq} ({last_event_id})")
        self.subject = subject
        self.last_seq = last_seq
        self.last_event_id = last_event_id


class NoUsableReply(BusError):
    """A command got no usable reply."""

    def __init__(self, subject: str, problem: str) -> None:
        super().__init__(f"{subject}: {problem}")
        self.subject = subject


class NoResponder(NoUsableReply):
    """No subscriber on the subject; the command was not carried out."""

    def __init__(self, subject: str) -> None:
        super().__init__(subject, "no subscriber")


class CommandTimeout(NoUsableReply):
    """No reply in time; the command may have been carried out."""

    def __init__(self, subject: str, timeout_s: float) -> None:
        super().__init__(subject, f"no reply in {timeout_s:g} s")
        self.timeout_s = timeout_s


class BadReply(NoUsableReply):
    """The reply does not have the agreed shape."""


class KeyExists(BusError):
    """The key already has a value.

    Attributes:
        revision: That value's revision.
    """

    def __init__(self, bucket: str, key: str, revision: int) -> None:
        super().__init__(f"{bucket}/{key} exists (revision {revision})")
        self.revision = revision


class KeyChanged(BusError):
    """The key is no longer at the expected revision.

    Attributes:
        revision: Its revision now; 0 when it is gone.
    """

    def __init__(self, bucket: str, key: str, revision: int) -> None:
        super().__init__(f"{bucket}/{key} is at revision {revision}")
        self.revision = revision
