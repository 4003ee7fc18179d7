"""Who may do what on NATS and on Redis: one user a service, with its own subjects and keys, as plain data.

What a user publishes and answers follows from the catalogue; what it reads is said here. `server_config` writes both
for the servers. The reasons behind each list: docs/decisions/0015-a-user-per-service.md.
"""

from dataclasses import dataclass
from typing import Final

from contracts import streams, subjects
from contracts.catalogue import MESSAGES
from contracts.events import SessionRequested

GATEWAY: Final = "gateway"
SCHEDULER: Final = "scheduler"
AGENT_RUNNER: Final = "agent-runner"
BILLING: Final = "billing"
OPERATOR: Final = "operator"
READER: Final = "reader"

ACCOUNT: Final = "GREENROOM"
"""NATS' account with the streams, and all users but the nodes'."""
NODES_ACCOUNT: Final = "NODES"
"""NATS' account of the nodes, whose requests reach ACCOUNT as service imports: see the ADR."""

_EVERYTHING: Final = ">"
_INBOX: Final = "_INBOX_"


@dataclass(frozen=True)
class NatsUser:
    """One user of NATS.

    Attributes:
        publish: Subjects that it may publish to, JetStream's API among them.
        subscribe: Subjects that it may subscribe to.
        refused: Subjects that it may not publish to, although `publish` covers them.
        answers_s: Seconds in which it may answer a request that it received, whatever the reply's subject; 0: never.
        account: Where its subjects are; between the accounts pass only what one lists and the other publishes.
    """

    name: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    refused: tuple[str, ...] = ()
    answers_s: int = 0
    account: str = ACCOUNT

    @property
    def answers(self) -> tuple[str, ...]:
        """The requests that it answers: what it subscribes to, without its inboxes."""
        return tuple(subject for subject in self.subscribe if not subject.startswith(_INBOX))


@dataclass(frozen=True)
class RedisUser:
    """One user of Redis.

    Attributes:
        rules: Its keys and commands, in the words of Redis' ACL.
    """

    name: str
    rules: str


def _sent(part: str) -> tuple[str, ...]:
    """What the catalogue says that this part sends: events, requests and keys."""
    sent = {_wildcards(m.address) for m in MESSAGES if m.sender == part and m.kind in ("event", "request", "value")}
    return tuple(sorted(sent))


def _answered(part: str) -> tuple[str, ...]:
    """The requests that the catalogue says that this part answers."""
    return tuple(sorted({_wildcards(m.address) for m in MESSAGES if m.receiver == part and m.kind == "request"}))


def _wildcards(address: str) -> str:
    return ".".join("*" if token.startswith("{") else token for token in address.split("."))


def _key(bucket: streams.BucketSpec, key: str = "*") -> str:
    return f"$KV.{bucket.name}.{key}"


def _makes(*specs: streams.StreamSpec | streams.BucketSpec) -> tuple[str, ...]:
    """Create what is missing; the server refuses to create what exists with another configuration."""
    return tuple(f"$JS.API.STREAM.CREATE.{streams.stream_name(spec)}" for spec in specs)


def _owns(*specs: streams.StreamSpec | streams.BucketSpec) -> tuple[str, ...]:
    return (*_makes(*specs), *(f"$JS.API.STREAM.UPDATE.{streams.stream_name(spec)}" for spec in specs))


def _asks(*specs: streams.StreamSpec | streams.BucketSpec) -> tuple[str, ...]:
    """Single messages, as JSON; the server cannot confine this to some of the stream's subjects."""
    return tuple(f"$JS.API.STREAM.MSG.GET.{streams.stream_name(spec)}" for spec in specs)


def _reads(*specs: streams.StreamSpec | streams.BucketSpec) -> tuple[str, ...]:
    """Also pages of them. Never give it to a node: a direct get sends stored bytes to any subject of its account."""
    return tuple(
        subject for spec in specs for subject in (*_asks(spec), f"$JS.API.DIRECT.GET.{streams.stream_name(spec)}")
    )


def _follows(*specs: streams.StreamSpec | streams.BucketSpec) -> tuple[str, ...]:
    """Read with ephemeral consumers. Never give it to a node: see the ADR on what a consumer can be made to do."""
    found = list(_reads(*specs))
    for name in map(streams.stream_name, specs):
        found.append(f"$JS.API.STREAM.INFO.{name}")
        found += [f"$JS.API.CONSUMER.{verb}.{name}.*" for verb in ("CREATE", "INFO", "MSG.NEXT", "DELETE")]
    return tuple(found)


def _measures(*specs: streams.StreamSpec | streams.BucketSpec) -> tuple[str, ...]:
    """How full each is, and since when; a publish without an answer asks whether its stream is there at all."""
    return tuple(f"$JS.API.STREAM.INFO.{streams.stream_name(spec)}" for spec in specs)


def _inbox(name: str) -> str:
    return f"{_INBOX}{name}.>"


_ACCOUNT: Final = ("$JS.API.INFO",)  # counts and limits only; `greenroom doctor` asks for it
# A dead letter is written once by all: the second writer reads whose it is.
_BURY: Final = (subjects.ALL_DEAD, *_asks(streams.DEAD), *_measures(streams.DEAD))
# The position of billing in the log: its consumer belongs to billing alone.
_BILLINGS_CONSUMER: Final = tuple(
    f"$JS.API.CONSUMER.{verb}.{streams.SESSIONS.name}.{streams.BILLINGS_PLACE}"
    for verb in ("CREATE", "INFO", "MSG.NEXT", "DELETE")
)
_SCHEDULERS_BUCKETS: Final = tuple(bucket for bucket in streams.BUCKETS if bucket not in streams.GATEWAYS_BUCKETS)

NATS_USERS: Final = (
    NatsUser(
        GATEWAY,
        publish=(
            *_sent(GATEWAY),
            *_BURY,
            _key(streams.PREJOINED),  # it takes a room by deleting its key
            _key(streams.LEADERS, "projector"),
            *_makes(*streams.STREAMS, *streams.BUCKETS),
            *_owns(*streams.GATEWAYS_BUCKETS),
            *_follows(streams.SESSIONS, streams.PREJOINED, streams.QUEUE),
            *_measures(*streams.STREAMS, *streams.BUCKETS),
            *_reads(streams.NODES, streams.SLOTS, streams.LEADERS, *streams.GATEWAYS_BUCKETS),
            *_ACCOUNT,
        ),
        subscribe=(_inbox(GATEWAY),),
        refused=_BILLINGS_CONSUMER,
    ),
    NatsUser(
        SCHEDULER,
        publish=(
            *_sent(SCHEDULER),
            # It writes a session's beginning again where the log lost it.
            subjects.session_event(SessionRequested.event, "*"),
            *_BURY,
            _key(streams.PREJOINED),  # it withdraws a room by deleting its key
            _key(streams.LEADERS, "scheduler"),
            *_owns(*streams.STREAMS, *_SCHEDULERS_BUCKETS),
            *(f"$JS.API.STREAM.DELETE.{streams.stream_name(bucket)}" for bucket in streams.BUCKETS if bucket.in_memory),
            *_follows(streams.SESSIONS, streams.ROOMS, streams.NODES, streams.PREJOINED),
            *_reads(streams.SLOTS, streams.LEADERS),
            *_measures(*streams.STREAMS, *streams.BUCKETS),
            *_ACCOUNT,
        ),
        subscribe=(_inbox(SCHEDULER),),
        refused=tuple(subject for subject in _BILLINGS_CONSUMER if ".INFO." not in subject),  # it watches how far it is
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
            f"$JS.ACK.{streams.SESSIONS.name}.{streams.BILLINGS_PLACE}.>",
            *_ACCOUNT,
        ),
        subscribe=(_inbox(BILLING), _inbox("billing-replay"), *_answered(BILLING)),
        answers_s=60,
    ),
    NatsUser(OPERATOR, publish=(_EVERYTHING,), subscribe=(_EVERYTHING,)),
)
"""The services' users, and the operator's, who may do everything."""

_NO_ADMINISTRATION: Final = "+@read +@write +@connection +@transaction -@dangerous"

REDIS_USERS: Final = (
    RedisUser(GATEWAY, f"~session:* ~user:* ~agent:* ~pool:ready ~projection:* {_NO_ADMINISTRATION}"),
    RedisUser(AGENT_RUNNER, "~agent:*:logs +rpush +ltrim +expire +del +@connection -@dangerous"),
    RedisUser(READER, "~session:* ~user:* ~agent:* ~pool:ready +@read +@connection -@dangerous"),
    RedisUser(OPERATOR, "~* &* +@all"),
)
"""The services' users, one for programs that read the read model, and the operator's."""


def nats_variable(user: str) -> str:
    """The environment variable with a NATS user's password."""
    return f"NATS_{user.replace('-', '_').upper()}_PASSWORD"


def redis_variable(user: str) -> str:
    """The environment variable with a Redis user's password."""
    return f"REDIS_{user.replace('-', '_').upper()}_PASSWORD"
