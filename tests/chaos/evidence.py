"""What the checker looks at: the whole log, the buckets, Redis, SQL and LiveKit's rooms.

It imports nothing of the services, of chassis or of contracts: a fault of theirs must not blind the check.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import nats
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

PAGE = 500
PAGE_BYTES = 8 * 1024 * 1024
READ_S = 30.0
QUIET_S = 2.0
SETS = ("session:ready", "session:starting")


@dataclass(frozen=True)
class Message:
    """One message of a stream; `body` is None where it is not a JSON object."""

    seq: int
    subject: str
    stored_ms: int
    body: dict[str, Any] | None


@dataclass(frozen=True)
class Evidence:
    """Everything at one time.

    Attributes:
        taken_ms: When the reading began, Unix ms.
        first_seq: Of the stream SESSIONS; above 1 the log has lost its beginning.
        last_seq: Of the same stream.
        log: SESSIONS.
        webhooks: ROOMS.
        dead: DEAD.
        slots: Key -> value.
        nodes: Key -> value.
        prejoined: The rooms in which an agent waits for a session.
        position: Up to which sequence Redis is written; None: no Redis was read.
        hashes: `session:{id}` without its prefix -> fields.
        members: The sets session:ready and session:starting.
        pids: The sessions that have a key `agent:{id}:pid`.
        settlements: Rows; None: no database was read.
        entries: Rows of the ledger.
        rooms: LiveKit's rooms; None: it was not asked.
    """

    taken_ms: int
    first_seq: int
    last_seq: int
    log: list[Message]
    webhooks: list[Message]
    dead: list[Message]
    slots: dict[str, dict[str, Any]]
    nodes: dict[str, dict[str, Any]]
    prejoined: list[str]
    position: int | None = None
    hashes: dict[str, dict[str, str]] | None = None
    members: dict[str, list[str]] | None = None
    pids: list[str] | None = None
    settlements: list[dict[str, Any]] | None = None
    entries: list[dict[str, Any]] | None = None
    rooms: list[str] | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, data: str) -> "Evidence":
        fields = json.loads(data)
        for name in ("log", "webhooks", "dead"):
            fields[name] = [Message(**message) for message in fields[name]]
        return cls(**fields)


@dataclass(frozen=True)
class Places:
    """Where to read; what is None is not read.

    Attributes:
        nats: NATS_URL of a user who may read everything.
        redis: REDIS_URL, likewise.
        database: DATABASE_URL, with its driver.
        livekit: LIVEKIT_URL.
        livekit_key: LIVEKIT_API_KEY.
        livekit_secret: LIVEKIT_API_SECRET.
    """

    nats: str
    redis: str | None = None
    database: str | None = None
    livekit: str | None = None
    livekit_key: str = ""
    livekit_secret: str = ""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Places":
        """From the variables of a running stack."""
        return cls(
            nats=environment["NATS_URL"],
            redis=environment.get("REDIS_URL"),
            database=environment.get("DATABASE_URL"),
            livekit=environment.get("LIVEKIT_URL"),
            livekit_key=environment.get("LIVEKIT_API_KEY", ""),
            livekit_secret=environment.get("LIVEKIT_API_SECRET", ""),
        )


async def gather(places: Places) -> Evidence:
    """Read everything, each store within a deadline.

    The log is read first: what is read later may be newer than it, never older, so that a lag of a projector shows.

    Raises:
        TimeoutError: A store did not answer.
    """
    taken_ms = int(time.time() * 1000)
    async with asyncio.timeout(READ_S):
        connection = await nats.connect(places.nats.split(","), connect_timeout=5, max_reconnect_attempts=3)
    try:
        async with asyncio.timeout(READ_S):
            streams = {name: await _stream(connection, name) for name in ("SESSIONS", "ROOMS", "DEAD")}
            slots = await _bucket(connection, "slots")
            nodes = await _bucket(connection, "nodes")
            prejoined = await _bucket(connection, "prejoined")
            keys = await _bucket(connection, "keys")
    finally:
        await connection.close()
    first_seq, last_seq, log = streams["SESSIONS"]
    return Evidence(
        taken_ms=taken_ms,
        first_seq=first_seq,
        last_seq=last_seq,
        log=[_opened(message, keys) for message in log],
        webhooks=streams["ROOMS"][2],
        dead=streams["DEAD"][2],
        slots=slots,
        nodes=nodes,
        prejoined=sorted(prejoined),
        **await _redis(places.redis),
        **await _sql(places.database),
        rooms=await _rooms(places),
    )


async def _stream(connection: Client, name: str) -> tuple[int, int, list[Message]]:
    """The first and the last sequence of a stream, and all its messages."""
    state = (await connection.jetstream().stream_info(name)).state
    found: list[Message] = []
    while (after := found[-1].seq if found else 0) < state.last_seq and state.messages:
        page, pending = await _page(connection, name, after + 1)
        found += page
        if not page and not pending:
            await asyncio.sleep(0.1)  # a replica that is behind the leader
    return state.first_seq, state.last_seq, found


async def _bucket(connection: Client, name: str) -> dict[str, dict[str, Any]]:
    """The keys that have a value; a key that is renewed while this reads comes again, on a later page."""
    found: dict[str, dict[str, Any]] = {}
    after, pending = 0, 1
    while pending:
        page, pending = await _page(connection, f"KV_{name}", after + 1)
        for message in page:
            key = message.subject.removeprefix(f"$KV.{name}.")
            after = message.seq
            found.pop(key, None)
            if message.body is not None:  # else the marker of a deletion
                found[key] = message.body | {"stored_ms": message.stored_ms}
        if not page:
            break
    return found


async def _page(connection: Client, stream: str, seq: int) -> tuple[list[Message], int]:
    """Some messages from a sequence on, and how many come after them."""
    inbox = connection.new_inbox()
    found: list[Message] = []
    subscription = await connection.subscribe(inbox)
    try:
        ask = {"seq": seq, "batch": PAGE, "max_bytes": PAGE_BYTES, "next_by_subj": ">"}
        await connection.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(ask).encode(), reply=inbox)
        while True:
            message = await subscription.next_msg(timeout=QUIET_S)
            headers = message.headers or {}
            if "Nats-Subject" not in headers:
                return found, int(headers.get("Nats-Num-Pending", "0")) if headers.get("Status") == "204" else 0
            found.append(_message(message, headers))
    except NatsError:
        return found, 1
    finally:
        await subscription.unsubscribe()


def _message(message: Msg, headers: Mapping[str, str]) -> Message:
    stamp = headers["Nats-Time-Stamp"]
    at = datetime.fromisoformat(f"{stamp[:19]}+00:00")
    fraction = stamp[19:].rstrip("Z")
    try:
        body = json.loads(message.data)
    except ValueError:
        body = None
    return Message(
        seq=int(headers["Nats-Sequence"]),
        subject=headers["Nats-Subject"],
        stored_ms=round(at.timestamp() * 1000 + float(f"0{fraction}" if fraction else 0) * 1000),
        body=body if isinstance(body, dict) else None,
    )


def _opened(message: Message, keys: Mapping[str, dict[str, Any]]) -> Message:
    """The message with its sealed words in their fields, if its session's key exists."""
    body = message.body or {}
    secret = keys.get(message.subject.rpartition(".")[2], {}).get("secret")
    if not secret or not body.get("sealed"):
        return message
    box, bound_to = base64.b64decode(body["sealed"]), f"{message.subject}/{body['id']}".encode()
    try:
        words = json.loads(AESGCM(base64.b64decode(secret)).decrypt(box[:12], box[12:], bound_to))
    except InvalidTag:
        return message
    return replace(message, body=body | words)


async def _redis(url: str | None) -> dict[str, Any]:
    if url is None:
        return {}
    async with asyncio.timeout(READ_S):
        async with Redis.from_url(url, decode_responses=True, encoding_errors="replace") as store:
            ids = [k.removeprefix("session:") async for k in store.scan_iter("session:*", count=1000) if k not in SETS]
            hashes = {i: await store.hgetall(f"session:{i}") for i in ids}
            members = {name: sorted(await store.smembers(name)) for name in SETS}
            pids = [k.split(":")[1] async for k in store.scan_iter("agent:*:pid", count=1000)]
            positions = [int(await store.get(k) or 0) async for k in store.scan_iter("projection:position*")]
    return {"hashes": hashes, "members": members, "pids": pids, "position": max(positions, default=0)}


async def _sql(url: str | None) -> dict[str, Any]:
    if url is None:
        return {}
    engine = create_async_engine(url)
    try:
        async with asyncio.timeout(READ_S), engine.connect() as connection:
            return {
                field: [dict(row) for row in (await connection.execute(text(f"SELECT * FROM {table}"))).mappings()]
                for field, table in (("settlements", "settlements"), ("entries", "ledger_entries"))
            }
    finally:
        await engine.dispose()


async def _rooms(places: Places) -> list[str] | None:
    if places.livekit is None:
        return None
    url = f"{places.livekit.replace('ws', 'http', 1)}/twirp/livekit.RoomService/ListRooms"
    grants = {"iss": places.livekit_key, "exp": int(time.time()) + 60, "video": {"roomList": True}}
    request = urllib.request.Request(
        url,
        data=b"{}",
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {_jwt(grants, places.livekit_secret)}"},
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # LiveKit is here, behind no proxy
    try:
        answer = await asyncio.to_thread(direct.open, request, timeout=5)
    except (urllib.error.URLError, OSError) as error:
        raise TimeoutError(f"LiveKit does not list its rooms: {error}") from error
    return sorted(room["name"] for room in json.loads(answer.read()).get("rooms", []))


def _jwt(claims: dict[str, Any], secret: str) -> str:
    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    head = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(claims).encode())
    return (head + b"." + part(hmac.new(secret.encode(), head, hashlib.sha256).digest())).decode()
