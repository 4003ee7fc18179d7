"""What Redis must show of a session, made from its log a second time, by other code than the gateway's."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.chaos.judging import Session


def status_of(session: "Session") -> str:
    """The status of the key `session:{id}`."""
    if ended := session.first("ended"):
        return "rejected" if (ended.body or {})["outcome"] == "rejected" else "ended"
    if session.first("started"):
        return "active"
    assigned, ready = _epochs(session, "assigned"), _epochs(session, "agent_ready")
    if ready and max(ready) >= max(assigned, default=0):
        return "ready"
    if assigned:
        return "starting"
    return "queued" if session.first("queued") else "requested"


def expected_fields(session: "Session") -> dict[str, str]:
    """The fields of the hash `session:{id}`."""
    requested = min((m.body or {} for m in session.all("requested")), key=lambda body: _unix(body["time"]))
    fields = {
        "userName": requested["user_name"],
        "userId": requested["user_name"] if requested.get("user_id_derived") else requested["user_id"],
        "voiceId": requested["voice_id"],
        "openingLine": requested["opening_line"],
        "systemPrompt": requested["system_prompt"],
        "status": status_of(session),
        "createdAt": str(int(_unix(requested["time"]))),
    }
    ready = {body["epoch"]: body for m in session.all("agent_ready") if (body := m.body or {})}
    if ready:
        fields["startTime"] = str(int(_unix(ready[min(ready)]["time"])))
        fields["agentPid"] = str(ready[max(ready)]["pid"])
        fields["logFile"] = ready[max(ready)]["log_file"]
    started = [_unix((m.body or {})["at"]) for m in session.all("started")]
    if started:
        fields["conversationStartTime"] = str(int(min(started)))
    if ended := session.first("ended"):
        seconds = (ended.body or {})["billable_ms"] // 1000
        fields["conversationDuration"] = str(seconds)
        fields["conversationDurationMinutes"] = str(-(-seconds // 60))
    return fields


def _epochs(session: "Session", event: str) -> list[int]:
    return [(m.body or {})["epoch"] for m in session.all(event)]


def _unix(time: Any) -> float:
    return datetime.fromisoformat(time).timestamp()
