"""One session under test: its log as it grows, its end and its bill."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from chassis.nats import Stored
from contracts.api import EndDetails, EndReply, SessionBill
from contracts.events import AgentReady, AgentStopped, Event, JobAssigned, SessionBilled, SessionEnded, TurnFinished
from tests.chaos.news import T, announced

if TYPE_CHECKING:
    from tests.chaos.scene import Scene

BILL_S = 20.0

E = TypeVar("E", bound=Event)


@dataclass(frozen=True)
class Ended:
    """An end by REST.

    Attributes:
        asked_at: Monotonic time of the first request.
        answered_at: Of the answer that said it.
        pending: How many answers before it were 504 `end_pending`.
    """

    asked_at: float
    answered_at: float
    details: EndDetails
    pending: int


class Session:
    """A session that was started through the gateway.

    Attributes:
        id: The session's.
        token: The caller's LiveKit token.
        url: LiveKit's URL.
        started_at: Monotonic time of the request.
    """

    def __init__(self, scene: "Scene", session_id: str, token: str, url: str, started_at: float) -> None:
        self.id, self.token, self.url, self.started_at = session_id, token, url, started_at
        self._scene = scene

    @property
    def log(self) -> list[Stored]:
        """Its log so far, in stream order."""
        return self._scene.log.get(self.id, [])

    def events(self, kind: type[E], **fields: object) -> list[E]:
        """The events of one kind whose fields have these values."""
        found = [stored.event for stored in self.log if isinstance(stored.event, kind)]
        return [e for e in found if all(getattr(e, name) == value for name, value in fields.items())]

    async def event(self, kind: type[E], deadline_s: float, **fields: object) -> E:
        """The first such event, waited for."""
        what = f"{kind.event} {fields or ''}".strip()
        return await self.until(lambda: next(iter(self.events(kind, **fields)), None), deadline_s, what)

    async def until(self, found: Callable[[], T | None], deadline_s: float, what: str) -> T:
        """Wait until the log shows something."""
        return await announced(self._scene.news, found, deadline_s, what, evidence=self.evidence)

    async def ready(self, epoch: int, deadline_s: float) -> AgentReady:
        return await self.event(AgentReady, deadline_s, epoch=epoch)

    async def stopped(self, epoch: int, deadline_s: float) -> AgentStopped:
        return await self.event(AgentStopped, deadline_s, epoch=epoch)

    async def ended(self, deadline_s: float) -> SessionEnded:
        return await self.event(SessionEnded, deadline_s)

    async def answered(self, deadline_s: float, *, epoch: int) -> TurnFinished:
        """A turn of an epoch in which the caller said something and heard an answer."""

        def answer() -> TurnFinished | None:
            turns = self.events(TurnFinished, epoch=epoch)
            return next((turn for turn in turns if turn.user_text and turn.heard_text), None)

        return await self.until(answer, deadline_s, f"answered turn of epoch {epoch}")

    @property
    def epoch(self) -> int:
        """The last assigned epoch; 0 before the first."""
        return max((event.epoch for event in self.events(JobAssigned)), default=0)

    @property
    def node(self) -> str:
        """The node of the last assigned epoch."""
        return max(self.events(JobAssigned), key=lambda event: event.epoch).node_id

    @property
    def pid(self) -> int:
        """The worker's process of the last epoch that was ready."""
        return max(self.events(AgentReady), key=lambda event: event.epoch).pid

    async def end(self, deadline_s: float = 10.0) -> Ended:
        """End it as a client does, which repeats the request while the answer is `end_pending`."""
        asked_at = time.monotonic()
        pending = 0
        while True:
            answer = await self._scene.http.post("/orchestrator/session/end", json={"sessionId": self.id})
            if answer.status_code == 200:
                details = EndReply.model_validate_json(answer.content).details
                return Ended(asked_at, time.monotonic(), details, pending)
            waited_s = time.monotonic() - asked_at
            problem = f"POST end answered {answer.status_code} {answer.text} after {waited_s:.1f} s\n{self.evidence()}"
            assert (answer.status_code, answer.json().get("code")) == (504, "end_pending"), problem
            assert waited_s < deadline_s, problem
            pending += 1

    async def bill(self) -> SessionBill:
        """The settlement, as soon as there is one."""
        await self.event(SessionBilled, BILL_S)
        answer = await self._scene.http.get(f"/billing/sessions/{self.id}")
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}\n{self.evidence()}"
        return SessionBill.model_validate_json(answer.content)

    def evidence(self) -> str:
        """The session's log, for an assertion's message."""
        lines = [f"the log of {self.id}:"]
        first = self.log[0].stored_ms if self.log else 0
        for stored in self.log:
            fields = stored.event.model_dump(exclude={"session_id", "time", "id"}) if stored.event else {}
            kind = stored.subject.split(".")[3]
            shown = {name: value for name, value in fields.items() if name not in ("system_prompt", "metadata")}
            lines.append(f"  +{(stored.stored_ms - first) / 1000:7.3f} {stored.seq:4d} {kind:14s} {shown}")
        return "\n".join(lines)
