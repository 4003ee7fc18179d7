"""What can go wrong on the bus, each with its facts."""

from typing import Final

from chassis.errors import StartFailed

_CHECK_USER: Final = (
    "Check the user and password in NATS_URL, and the user's permissions in nats-server's configuration."
)
_MORE_DISK: Final = (
    "Free disk where nats-server's store_dir is, or lower SESSIONS_MAX_MB, IDEMPOTENCY_MAX_MB or SEATS_MAX_MB, and "
    "restart nats-server. docs/troubleshooting.md says how much it needs."
)
GRANT_IT: Final = "Add it to the user's permissions in nats-server's configuration."


class BusUnavailable(StartFailed):
    """NATS did not answer within the deadline; whether the message was stored is not known."""

    def __init__(self, doing: str, url: str) -> None:
        super().__init__(f"NATS at {url} does not answer: {doing}", "Check NATS_URL and that nats-server runs.")
        self.doing = doing
        self.url = url


class BusRefused(StartFailed):
    """NATS does not take our credentials, or our user may not do this."""

    def __init__(self, cause: str, url: str, *, fix: str = _CHECK_USER) -> None:
        super().__init__(f"NATS at {url} refuses us: {cause}", fix)
        self.url = url


class NoDisk(BusRefused):
    """nats-server has no disk for the bound of a stream or bucket: it reserves the bounds of all of them."""

    def __init__(self, stream: str, max_bytes: int, reason: str, url: str) -> None:
        StartFailed.__init__(
            self,
            f"nats-server's disk has no room for the stream {stream} ({max_bytes >> 20} MB): {reason}",
            _MORE_DISK,
        )
        self.url = url


class StreamMissing(BusUnavailable):
    """There is no such stream: its store was lost, or it is not made yet."""

    def __init__(self, stream: str, url: str) -> None:
        super().__init__(f"there is no stream {stream}", url)
        self.stream = stream


class StreamFull(BusUnavailable):
    """The stream or bucket holds as many bytes as it may, and keeps what it has."""


class NotStored(BusUnavailable):
    """The stream can be read and stores nothing: the disk under it is full, or was, until nats-server starts again."""

    def __init__(self, doing: str, stream: str, url: str) -> None:
        StartFailed.__init__(
            self,
            f"the stream {stream} can be read, but nats-server stores nothing in it: {doing}",
            "See whether its disk is full; once there is room, restart nats-server (docs/runbooks/full-disk.md).",
        )
        self.doing = f"{doing}: the stream {stream} can be read and stores nothing (is its disk full?)"
        self.stream = stream
        self.url = url


class PublishRefused(Exception):
    """The stream will never take this message: too large, or not its subject."""

    def __init__(self, subject: str, reason: str) -> None:
        super().__init__(f"{subject}: {reason}")
        self.subject = subject
        self.reason = reason


class SequenceConflict(Exception):
    """The subject moved on since it was read.

    Attributes:
        last_seq: Sequence of the subject's last message now; 0 when there is none.
        last_event_id: That message's id, None when it has none.
    """

    def __init__(self, subject: str, last_seq: int, last_event_id: str | None) -> None:
        super().__init__(f"{subject}: the last message is {last_seq} ({last_event_id})")
        self.subject = subject
        self.last_seq = last_seq
        self.last_event_id = last_event_id


class CommandError(Exception):
    """A command got no usable reply."""

    def __init__(self, subject: str, problem: str) -> None:
        super().__init__(f"{subject}: {problem}")
        self.subject = subject


class NoResponder(CommandError):
    """Nobody listens on the subject; the command was not carried out."""

    def __init__(self, subject: str) -> None:
        super().__init__(subject, "nobody listens")


class CommandTimeout(CommandError):
    """No reply in time; the command may have been carried out."""

    def __init__(self, subject: str, timeout_s: float) -> None:
        super().__init__(subject, f"no reply in {timeout_s:g} s")
        self.timeout_s = timeout_s


class BadReply(CommandError):
    """A reply that does not have the agreed shape."""


class KeyExists(Exception):
    """The key has a value already.

    Attributes:
        revision: That value's revision.
    """

    def __init__(self, bucket: str, key: str, revision: int) -> None:
        super().__init__(f"{bucket}/{key} exists (revision {revision})")
        self.revision = revision


class KeyChanged(Exception):
    """The key is not at the expected revision any more.

    Attributes:
        revision: Its revision now; 0 when it is gone.
    """

    def __init__(self, bucket: str, key: str, revision: int) -> None:
        super().__init__(f"{bucket}/{key} is at revision {revision}")
        self.revision = revision


class RetryLater(Exception):
    """Raised by a handler: something it needs is away; hand it the same message again after `delay_s`.

    It does not count towards the dead letters, and later messages of the same key wait behind it.
    """

    def __init__(self, delay_s: float = 1.0, reason: str = "") -> None:
        super().__init__(reason or f"retry in {delay_s:g} s")
        self.delay_s = delay_s


class Rejected(Exception):
    """Raised by a handler: this message can never be handled; it goes to the dead letters."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
