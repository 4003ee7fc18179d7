"""Permissions on NATS and Redis as plain data: each service has its own user, with its own subjects and keys.

The catalogue gives the subjects that a user publishes and answers; this module lists what it reads. `server_config`
writes both for the servers. Reasons for each list: docs/decisions/0015-a-user-per-service.md.
"""

from dataclasses import dataclass
from typing import Final

from contracts import streams, subjects
from contracts.catalogue import MESSAGES
from contracts.events import AgentStopped, ServedTick, SessionRequested, SessionStarted

GATEWAY: Final = "gateway"
SCHEDULER: Final = "scheduler"
AGENT_RUNNER: Final = "agent-runner"
BILLING: Final = "billing"
OPERATOR: Final = "operator"
READER: Final = "reader"

ACCOUNT: Final = "GREENROOM"
"""The NATS account with the streams and all users except the nodes'."""
NODES_ACCOUNT: Final = "NODES"
"""The NATS account of the nodes; their requests reach ACCOUNT as service imports (see the ADR)."""

_EVERYTHING: Final = ">"
_INBOX: Final = "_INBOX_"


@dataclass(frozen=True)
class NatsUser:
    """One user of NATS.

    Attributes:
        publish: Subjects that the user may publish to, including JetStream's API.
        subscribe: Subjects that the user may subscribe to.
        refused: Exceptions to `publish`.
        answers_s: Seconds in which the user may answer a received request, on any reply subject; 0: never.
        account: The NATS account of the user. Only subjects that one account exports and the other imports cross.
    """

    name: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    refused: tuple[str, ...] = ()
    answers_s: int = 0
    account: str = ACCOUNT

    @property
    def answers(self) -> tuple[str, ...]:
        """Subjects of the requests that the user answers: its subscriptions without its inboxes."""
        return tuple(subject for subject in self.subscribe if not subject.startswith(_INBOX))


@dataclass(frozen=True)
class RedisUser:
    """One user of Redis.

    Attributes:
        rules: Keys and commands, in the syntax of Redis' ACL.
    """

    name: str
    rules: str


def _sent(part: str) -> tuple[str, ...]:
    """Subjects of the events, requests and keys that this service sends, from the catalogue."""
    sent = {_wildcards(m.address) for m in MESSAGES if m.sender == part and m.kind in ("event", "request", "value")}
    return tuple(sorted(sent))


def _answered(part: str) -> tuple[str, ...]:
    """Subjects of the requests that this service answers, from the catalogue."""
    return tuple(sorted({_wildcards(m.address) for m in MESSAGES if part in m.consumers and m.kind == "request"}))


def _wildcards(address: str) -> str:
    return ".".join("*" if token.startswith("{") else token for token in address.split("."))


def _key(bucket: streams.AnyBucket, key: str = "*") -> str:
    return f"$KV.{bucket.name}.{key}"


def _makes(*specs: streams.StreamSpec | streams.AnyBucket) -> tuple[str, ...]:
    """Create missing streams. The server refuses to create one that exists with another configuration."""
    return tuple(f"$JS.API.STREAM.CREATE.{streams.stream_name(spec)}" for spec in specs)


def _owns(*specs: streams.StreamSpec | streams.AnyBucket) -> tuple[str, ...]:
    return (*_makes(*specs), *(f"$JS.API.STREAM.UPDATE.{streams.stream_name(spec)}" for spec in specs))


def _erases(*specs: streams.AnyBucket) -> tuple[str, ...]:
    """Overwrite single values on disk. The server refuses it for a bucket that is not `erasable`."""
    return tuple(f"$JS.API.STREAM.MSG.DELETE.{streams.stream_name(spec)}" for spec in specs)


def _asks(*specs: streams.StreamSpec | streams.AnyBucket) -> tuple[str, ...]:
    """Read single messages, as JSON. The server cannot restrict this to some subjects of a stream."""
    return tuple(f"$JS.API.STREAM.MSG.GET.{streams.stream_name(spec)}" for spec in specs)


def _reads(*specs: streams.StreamSpec | streams.AnyBucket) -> tuple[str, ...]:
    """Read single messages and pages. Never give this to a node: a direct get can send stored bytes to any subject."""
    return tuple(
        subject for spec in specs for subject in (*_asks(spec), f"$JS.API.DIRECT.GET.{streams.stream_name(spec)}")
    )


def _follows(*specs: streams.StreamSpec | streams.AnyBucket) -> tuple[str, ...]:
    """Read with ephemeral consumers. Never give this to a node: the ADR shows how a consumer can be misused."""
    found = list(_reads(*specs))
    for name in map(streams.stream_name, specs):
        found.append(f"$JS.API.STREAM.INFO.{name}")
        found += [f"$JS.API.CONSUMER.{verb}.{name}.*" for verb in ("CREATE", "INFO", "MSG.NEXT", "DELETE")]
    return tuple(found)


def _measures(*specs: streams.StreamSpec | streams.AnyBucket) -> tuple[str, ...]:
    """Read a stream's size and age. A publish that gets no answer also asks this: does the stream exist?"""
    return tuple(f"$JS.API.STREAM.INFO.{streams.stream_name(spec)}" for spec in specs)


def _inbox(name: str) -> str:
    return f"{_INBOX}{name}.>"


_ACCOUNT: Final = ("$JS.API.INFO",)  # counts and limits only; `greenroom doctor` reads it
# Each service may find the same dead letter; the second writer reads which one stored it.
_BURY: Final = (subjects.ALL_DEAD, *_asks(streams.DEAD), *_measures(streams.DEAD))
# Only billing may use the consumer that holds its position in the log.
_BILLINGS_CONSUMER: Final = tuple(
    f"$JS.API.CONSUMER.{verb}.{streams.SESSIONS.name}.{streams.BILLINGS_POSITION}"
    for verb in ("CREATE", "INFO", "MSG.NEXT", "DELETE")
)
_SCHEDULERS_BUCKETS: Final = tuple(bucket for bucket in streams.BUCKETS if bucket not in streams.GATEWAYS_BUCKETS)

_WRITTEN_AGAIN: Final = (SessionRequested, SessionStarted, ServedTick, AgentStopped)

NATS_USERS: Final = (
    NatsUser(
        GATEWAY,
        publish=(
            *_sent(GATEWAY),
            *_BURY,
            _key(streams.PREJOINED),  # the gateway claims a room by deleting its key
            _key(streams.KEYS),  # the gateway makes the key of a session's words, and erases it
            *_erases(streams.KEYS),
            _key(streams.LEADERS, "projector"),
            *_makes(*streams.STREAMS, *streams.BUCKETS),
            *_owns(*streams.GATEWAYS_BUCKETS),
            *_follows(streams.SESSIONS, streams.PREJOINED, streams.QUEUE),
            *_measures(*streams.STREAMS, *streams.BUCKETS),
            *_reads(streams.NODES, streams.SLOTS, streams.LEADERS, streams.KEYS, *streams.GATEWAYS_BUCKETS),
            *_ACCOUNT,
        ),
        subscribe=(_inbox(GATEWAY),),
        refused=_BILLINGS_CONSUMER,
    ),
    NatsUser(
        SCHEDULER,
        publish=(
            *_sent(SCHEDULER),
            # The scheduler writes what decides about a session and its bill again when the log lost it.
            *(subjects.session_event(kind.event, "*") for kind in _WRITTEN_AGAIN),
            *_BURY,
            _key(streams.PREJOINED),  # the scheduler retires a room by deleting its key
            _key(streams.LEADERS, "scheduler"),
            _key(streams.KEYS),  # the scheduler writes a key again when NATS lost it with the log
            *_owns(*streams.STREAMS, *_SCHEDULERS_BUCKETS),
            *(f"$JS.API.STREAM.DELETE.{streams.stream_name(bucket)}" for bucket in streams.BUCKETS if bucket.in_memory),
            *_follows(streams.SESSIONS, streams.ROOMS, streams.NODES, streams.PREJOINED),
            *_reads(streams.SLOTS, streams.LEADERS),
            *_asks(streams.KEYS),
            *_measures(*streams.STREAMS, *streams.BUCKETS),
            *_ACCOUNT,
        ),
        subscribe=(_inbox(SCHEDULER),),
        refused=tuple(
            subject for subject in _BILLINGS_CONSUMER if ".INFO." not in subject
        ),  # it reads billing's position
    ),
    NatsUser(
        AGENT_RUNNER,
        publish=(
            *_sent(AGENT_RUNNER),
            *_BURY,
            *_makes(streams.SESSIONS, streams.NODES, streams.PREJOINED),
            *_asks(streams.SESSIONS, streams.NODES, streams.PREJOINED),
            *_measures(streams.SESSIONS, streams.NODES, streams.PREJOINED),
            *_ACCOUNT,
        ),
        subscribe=(_inbox(AGENT_RUNNER), *_answered(AGENT_RUNNER)),
        answers_s=60,
        account=NODES_ACCOUNT,
    ),
    NatsUser(
        BILLING,
        publish=(
            *_sent(BILLING),
            *_BURY,
            *_makes(streams.SESSIONS, streams.DEAD),
            *_follows(streams.SESSIONS),
            f"$JS.ACK.{streams.SESSIONS.name}.{streams.BILLINGS_POSITION}.>",
            *_ACCOUNT,
        ),
        subscribe=(_inbox(BILLING), _inbox("billing-replay"), *_answered(BILLING)),
        answers_s=60,
    ),
    NatsUser(OPERATOR, publish=(_EVERYTHING,), subscribe=(_EVERYTHING,)),
)
"""The services' users, and the operator's, which may do everything."""

_NO_ADMINISTRATION: Final = "+@read +@write +@connection +@transaction -@dangerous"

REDIS_USERS: Final = (
    RedisUser(GATEWAY, f"~session:* ~user:* ~agent:* ~pool:ready ~projection:* {_NO_ADMINISTRATION}"),
    RedisUser(AGENT_RUNNER, "~agent:*:logs +rpush +ltrim +expire +del +@connection -@dangerous"),
    RedisUser(READER, "~session:* ~user:* ~agent:* ~pool:ready +@read +@connection -@dangerous"),
    RedisUser(OPERATOR, "~* &* +@all"),
)
"""The services' users, the operator's, and one for other programs that read the read model."""


def nats_variable(user: str) -> str:
    """The environment variable with a NATS user's password."""
    return f"NATS_{user.replace('-', '_').upper()}_PASSWORD"


def redis_variable(user: str) -> str:
    """The environment variable with a Redis user's password."""
    return f"REDIS_{user.replace('-', '_').upper()}_PASSWORD"
