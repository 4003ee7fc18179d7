"""Any order of start, token, end, get, list, stats and drain, with NATS or Redis away in between.

A small model says what must hold: an accepted start can be looked up, ends once and has its bill; a repeated start is
the same session; no answer is a 5xx but a typed one while a dependency is away; no answer is later than its deadline.
A soak: `MACHINE_EXAMPLES=500 pytest ...`, which also draws other cases each time.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from contracts.events import SessionEnded
from tests.integration.gateway.hostile import HOSTILE, ODD, TOOL
from tests.integration.gateway.system import KEY, NODE, System
from tests.integration.scheduler.stack import events
from tests.support.servers import API_SECRET, Server

EXAMPLES = os.environ.get("MACHINE_EXAMPLES")
START, END = "/orchestrator/session/start", "/orchestrator/session/end"
DEADLINE_S = 16.0  # a start's 8 s and its wait for the agent; what is busy gets twice that before it hangs
BACK_S = 30.0
MOST_STEPS_AWAY = 3

pytestmark = pytest.mark.timeout(300 if EXAMPLES is None else 24 * 3600)

USERS = st.sampled_from(["ann", "Bob B.", "zoë", "a/b"])
KEYS = st.none() | st.sampled_from(["k1", "k2", "k3"])


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(tmp_path_factory.mktemp("system"), MAX_BOTS="50", LOG_FORMAT="json") as system:
        yield system


@dataclass
class Session:
    """What the model knows of an accepted start."""

    user_name: str
    user_id: str
    body: dict[str, Any] | None
    key: str | None
    minutes: int | None = None


class Clients(RuleBasedStateMachine):
    """What clients do; the test sets `system`."""

    system: System
    runs = 0

    def __init__(self) -> None:
        super().__init__()
        Clients.runs += 1
        self.sessions: dict[str, Session] = {}
        self.keys: dict[str, str] = {}
        self.away: Server | None = None
        self.steps_away = 0
        self.http = httpx.Client(
            base_url=self.system.url, headers={"X-API-Key": KEY}, timeout=DEADLINE_S, trust_env=False
        )

    # What every answer must be.

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = self.http.request(method, path, **more)
        if answer.status_code >= 400:
            problem = answer.json()
            assert answer.headers["content-type"] == "application/problem+json", answer.text
            assert problem["status"] == answer.status_code, answer.text
            assert problem["code"], answer.text
            assert problem["fix"], answer.text
        if answer.status_code >= 500:
            assert self.away is not None or answer.json()["code"] == "end_pending", answer.text
            assert answer.status_code in (503, 504), answer.text
            assert answer.json()["retryable"], answer.text
        return answer

    def key(self, name: str) -> str:
        """One run's keys are its own: all runs share the system."""
        return f"{Clients.runs}-{name}"

    def accepted(self, answer: httpx.Response, session: Session) -> str:
        reply = answer.json()
        session_id = reply["sessionId"]
        claims = jwt.decode(reply["token"], API_SECRET, algorithms=["HS256"])
        assert claims["video"]["room"] == reply["roomName"] == session_id
        self.sessions.setdefault(session_id, session)
        return session_id

    # The rules.

    @rule(
        name=USERS,
        user_id=st.none() | USERS,
        key=KEYS,
        metadata=st.dictionaries(st.sampled_from(["order", "é"]), st.text(max_size=20), max_size=2),
        tools=st.sampled_from([0, 0, 1]),
        wait=st.sampled_from(["accepted", "accepted", "accepted", "joined"]),
    )
    def start(
        self, name: str, user_id: str | None, key: str | None, metadata: dict[str, str], tools: int, wait: str
    ) -> None:
        body: dict[str, Any] = {"userName": name, "metadata": metadata, "tools": [TOOL] * tools, "wait": wait}
        if user_id is not None:
            body["userId"] = user_id
        headers = {} if key is None else {"Idempotency-Key": self.key(key)}

        answer = self.ask("POST", START, content=json.dumps(body), headers=headers | JSON)

        earlier = self.keys.get(key) if key is not None else None
        if earlier is not None:
            self.is_a_repetition(answer, earlier, body, key or "")
        elif answer.status_code == 200:
            session_id = self.accepted(answer, Session(name, user_id or name, body, key))
            if key is not None:
                self.keys[key] = session_id
        elif key is not None and answer.status_code in (503, 504):
            self.keys[key] = UNKNOWN  # the start may have been accepted: its answer was lost
        else:
            assert answer.status_code in (503, 504), answer.text

    def is_a_repetition(self, answer: httpx.Response, earlier: str, body: dict[str, Any], key: str) -> None:
        if answer.status_code >= 500:
            return
        if earlier == UNKNOWN:
            assert answer.status_code in (200, 409), answer.text
            if answer.status_code == 200:
                self.accepted(answer, Session(body["userName"], body.get("userId") or body["userName"], None, None))
            return
        session = self.sessions[earlier]
        same = {**(session.body or {}), "wait": ""} == {**body, "wait": ""}
        if not same:
            assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_mismatch")
        elif answer.status_code == 200 and answer.json()["sessionId"] != earlier:
            view = self.ask("GET", f"/sessions/{earlier}")
            assert view.status_code >= 500 or view.json()["outcome"] in ("rejected", "failed"), "a served key is spent"
            self.keys[key] = self.accepted(answer, Session(session.user_name, session.user_id, body, key))
        elif answer.status_code == 200:
            assert answer.headers["Idempotent-Replayed"] == "true"
        else:
            assert (answer.status_code, answer.json()["code"]) == (409, "session_ended")

    @rule(body=st.sampled_from(HOSTILE))
    def hostile_start(self, body: bytes) -> None:
        answer = self.ask("POST", START, content=body, headers=JSON)

        if answer.status_code == 200:
            raise AssertionError(f"accepted: {body[:200]!r}")
        assert self.away is not None or answer.status_code in (400, 413, 422), answer.text

    @rule(body=st.sampled_from(ODD))
    def odd_start(self, body: bytes) -> None:
        answer = self.ask("POST", START, content=body, headers=JSON)

        assert answer.status_code == 200 or self.away is not None, answer.text
        if answer.status_code == 200:
            name = json.loads(body)["userName"]
            self.accepted(answer, Session(name, name, None, None))

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def start_under_a_taken_id(self, data: st.DataObject) -> None:
        session_id = self.one(data)

        answer = self.ask("POST", START, json={"userName": "Mallory", "sessionId": session_id})

        assert answer.status_code >= 500 or answer.json()["code"] in ("session_id_taken", "room_taken"), answer.text

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def own_token(self, data: st.DataObject) -> None:
        session_id = self.one(data)
        session = self.sessions[session_id]

        answer = self.ask("POST", "/api/token", json={"sessionId": session_id, "userId": session.user_id})

        if answer.status_code < 500:
            ended = session.minutes is not None
            assert answer.status_code == (409 if ended else 200), answer.text

    @precondition(lambda self: self.sessions)
    @rule(data=st.data(), user=st.sampled_from(["mallory", "ANN", "bob b.", "a"]))
    def another_users_token(self, data: st.DataObject, user: str) -> None:
        answer = self.ask("POST", "/api/token", json={"sessionId": self.one(data), "userId": user})

        assert answer.status_code >= 500 or answer.json()["code"] in ("not_session_owner", "session_ended"), answer.text

    @rule()
    def token_before_the_start(self) -> None:
        answer = self.ask("POST", "/api/token", json={"sessionId": "session_not_yet", "userId": "ann"})

        assert answer.status_code == 200 or self.away is not None, answer.text

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        self.end_one(self.one(data))

    def end_one(self, session_id: str) -> None:
        session = self.sessions[session_id]
        answer = self.ask("POST", END, json={"sessionId": session_id})
        if answer.status_code >= 500:
            return
        assert answer.status_code == 200, answer.text
        minutes = answer.json()["details"]["durationMinutes"]
        assert session.minutes in (None, minutes), "an end that is repeated says the same"
        session.minutes = minutes

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def get(self, data: st.DataObject) -> None:
        session_id = self.one(data)

        answer = self.ask("GET", f"/sessions/{session_id}")

        if answer.status_code < 500:
            assert answer.status_code == 200, answer.text
            view = answer.json()
            assert (view["sessionId"], view["userName"]) == (session_id, self.sessions[session_id].user_name.strip())

    @rule(session_id=st.from_regex(r"\Asession_unknown[a-z]{1,8}\Z"))
    def unknown(self, session_id: str) -> None:
        for method, path, body in (
            ("GET", f"/sessions/{session_id}", None),
            ("GET", f"/billing/sessions/{session_id}", None),
            ("POST", END, {"sessionId": session_id}),
        ):
            answer = self.ask(method, path, json=body)
            assert answer.status_code >= 500 or answer.json()["code"] == "unknown_session", answer.text

    @rule(limit=st.integers(1, 100), status=st.none() | st.sampled_from(["ended", "active", "rejected"]))
    def list_all(self, limit: int, status: str | None) -> None:
        if self.away is not None:
            self.ask("GET", "/sessions", params={"limit": limit})
            return
        until = time.monotonic() + DEADLINE_S
        while True:
            seen = self.walk(limit, status)
            assert len(seen) == len(set(seen)), "a session is listed twice"
            if status is not None or set(self.sessions) <= set(seen):  # the read model is a moment behind
                return
            assert time.monotonic() < until, "an accepted session is not listed"

    def walk(self, limit: int, status: str | None) -> list[str]:
        seen: list[str] = []
        query: dict[str, Any] = {"limit": limit} | ({} if status is None else {"status": status})
        while True:
            page = self.ask("GET", "/sessions", params=query).json()
            assert len(page["items"]) <= limit
            assert status is None or {each["status"] for each in page["items"]} <= {status}
            seen += [each["sessionId"] for each in page["items"]]
            if page["nextCursor"] is None or set(self.sessions) <= set(seen):
                return seen
            query["cursor"] = page["nextCursor"]

    @rule()
    def stats(self) -> None:
        stats = self.ask("GET", "/stats").json()

        names = {"redis": self.system.redis, "nats": self.system.nats}
        for name, server in names.items():
            assert stats[name]["ok"] is (server is not self.away), stats

    @rule(node=st.sampled_from([NODE, "n2"]))
    def drain(self, node: str) -> None:
        answer = self.ask("POST", f"/nodes/{node}/drain")

        if answer.status_code < 500:
            assert answer.status_code == (200 if node == NODE else 404), answer.text

    @precondition(lambda self: self.away is None)
    @rule(server=st.sampled_from(["redis", "nats"]))
    def a_dependency_stops(self, server: str) -> None:
        self.away = getattr(self.system, server)
        assert self.away is not None
        self.steps_away = 0
        self.away.freeze()

    @precondition(lambda self: self.away is not None)
    @rule()
    def it_goes_on(self) -> None:
        self.come_back()

    def come_back(self) -> None:
        if self.away is None:
            return
        self.away.thaw()
        self.system.wait_until_ready(BACK_S)
        until = time.monotonic() + BACK_S
        while not all(self.http.get("/stats").json()[name]["ok"] for name in ("redis", "nats", "livekit")):
            assert time.monotonic() < until, "it does not come back"
        self.away, self.steps_away = None, 0

    @invariant()
    def the_gateway_lives(self) -> None:
        assert self.http.get("/health").status_code == 200
        self.steps_away += self.away is not None
        if self.steps_away > MOST_STEPS_AWAY:  # each costs a deadline
            self.come_back()

    def one(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.sessions)))

    # What must be true in the end.

    def teardown(self) -> None:
        self.come_back()
        for session_id, session in self.sessions.items():
            until = time.monotonic() + DEADLINE_S
            while session.minutes is None:
                assert time.monotonic() < until, f"{session_id} does not end"
                self.end_one(session_id)
            self.ended_once_and_is_billed(session_id, session)
        self.http.close()

    def ended_once_and_is_billed(self, session_id: str, session: Session) -> None:
        ends = self.system.node(lambda bus: events(bus, session_id, SessionEnded))
        assert len(ends) == 1
        until = time.monotonic() + DEADLINE_S
        while (answer := self.ask("GET", f"/billing/sessions/{session_id}")).status_code != 200:
            assert time.monotonic() < until, f"{session_id} has no bill: {answer.text}"
            time.sleep(0.02)
        assert answer.json()["minutes"] == session.minutes
        assert answer.json()["userId"] == session.user_id.strip()


JSON = {"Content-Type": "application/json"}
UNKNOWN = ""


@pytest.mark.parametrize(("bodies", "statuses"), [(HOSTILE, {400, 413, 422}), (ODD, {200})], ids=["hostile", "odd"])
def test_a_start_is_refused_by_name_or_accepted_whole(system: System, bodies: list[bytes], statuses: set[int]) -> None:
    Clients.system = system
    clients = Clients()
    for body in bodies:
        answer = clients.ask("POST", START, content=body, headers=JSON)
        assert answer.status_code in statuses, (body[:300], answer.text)
        if answer.status_code == 200:
            name = json.loads(body)["userName"]
            clients.accepted(answer, Session(name, name, None, None))
    assert clients.ask("GET", "/sessions").status_code == 200
    clients.teardown()


# The system's clients draw from `random` in another thread, which hypothesis takes for a strategy's doing.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
def test_clients_in_any_order(system: System) -> None:
    Clients.system = system
    run_state_machine_as_test(  # pyright: ignore[reportUnknownMemberType]
        Clients,
        settings=settings(
            max_examples=int(EXAMPLES or "20"),
            stateful_step_count=20,
            derandomize=EXAMPLES is None,
            database=None,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
    assert "http.bug" not in system.log.read_text()
