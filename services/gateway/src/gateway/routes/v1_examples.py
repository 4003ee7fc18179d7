"""Examples of the answers under `/v1`, for the API's document; a test reads each with its model."""

import json
from typing import Any, Final

_ID: Final = "session_1795521600123_0a1b2c3d4e5f"
_TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"

SUMMARY: Final[dict[str, Any]] = {
    "sessionId": _ID,
    "status": "ended",
    "userName": "Ann",
    "userId": "ann-1",
    "language": "en",
    "voiceId": "Ashley",
    "metadata": {"campaign": "spring"},
    "nodeId": "node-a",
    "epoch": 1,
    "createdAt": "2026-11-24T12:00:00.123Z",
    "startTime": "2026-11-24T12:00:00.480Z",
    "conversationStartTime": "2026-11-24T12:00:00.910Z",
    "endedAt": "2026-11-24T12:01:36.400Z",
    "outcome": "completed",
    "reason": "caller_left",
    "startMs": 1010,
    "durationSeconds": 95,
    "minutes": 2,
    "credits": 2,
    "turns": 7,
    "lastTurn": {"n": 7, "epoch": 1, "at": "2026-11-24T12:01:30Z", "latencyMs": 1440, "overBudget": "llm"},
    "takeovers": 0,
    "erased": False,
    "traceId": _TRACE,
}

PAGE: Final[dict[str, Any]] = {"items": [SUMMARY], "nextCursor": f"1795521600123-{_ID}"}

DETAIL: Final[dict[str, Any]] = {
    **SUMMARY,
    "openingLine": "Hello Ann!",
    "systemPrompt": "You are a helpful AI voice assistant.",
    "tools": ["book_table"],
    "grantedMinutes": 10,
    "celeryTaskId": "979d3772-d147-5bbb-a38c-eabe9c7be6f5",
    "agentPid": 4711,
    "logFile": f"logs/{_ID}.1.log",
    "queuePosition": None,
    "stageMs": {"pool_wait": 0, "go": 1, "join": 110, "joined": 112, "heard": 640},
}


def _entry(seq: int, kind: str, offset_ms: int, title: str, **fields: Any) -> dict[str, Any]:
    at = f"2026-11-24T12:00:{(123 + offset_ms) / 1000:06.3f}Z"
    return {
        "seq": seq,
        "kind": kind,
        "at": at,
        "offsetMs": offset_ms,
        "epoch": None,
        "nodeId": None,
        "title": title,
        "level": "info",
        "detail": {},
        **fields,
    }


_CONSIDERED: Final = [
    {"nodeId": "node-a", "verdict": "chosen", "why": "2 warm workers, load 0.31"},
    {"nodeId": "node-b", "verdict": "refused", "why": "draining"},
]

TIMELINE: Final[dict[str, Any]] = {
    "sessionId": _ID,
    "status": "active",
    "createdAt": "2026-11-24T12:00:00.123Z",
    "traceId": _TRACE,
    "turnBudgetMs": 1200,
    "start": [
        {"name": "accepted", "label": "the gateway accepts the start", "beginMs": 0, "endMs": 12},
        {"name": "placed", "label": "the scheduler decides", "beginMs": 12, "endMs": 20},
        {"name": "join", "label": "the agent joins the room", "beginMs": 21, "endMs": 130},
    ],
    "entries": [
        _entry(41, "requested", 0, "The gateway accepted the start", detail={"voiceId": "Ashley", "tools": []}),
        _entry(
            42,
            "assigned",
            20,
            "The scheduler gave the call to node node-a",
            epoch=1,
            nodeId="node-a",
            detail={"takeover": False, "considered": _CONSIDERED},
        ),
    ],
    "turns": [
        {
            "n": 1,
            "epoch": 1,
            "at": "2026-11-24T12:00:08Z",
            "offsetMs": 7877,
            "interrupted": False,
            "totalMs": 1440,
            "budgetMs": 1200,
            "overBudget": "llm",
            "stages": [{"name": "llm", "label": "first words of the language model", "ms": 910}],
        }
    ],
    "outcome": None,
    "reason": None,
}


def _event(name: str, data: dict[str, Any], seq: int | None = None) -> str:
    identity = "" if seq is None else f"id: {seq}\n"
    return f"event: {name}\ndata: {json.dumps(data)}\n{identity}\n"


EVENTS: Final = "retry: 2000\n\n" + "".join(_event(each["kind"], each, each["seq"]) for each in TIMELINE["entries"])
LIVE: Final = "retry: 2000\n\n" + _event("session", SUMMARY)

PROGRESS: Final[dict[str, Any]] = {
    "sessionId": _ID,
    "stage": "speaking",
    "stageMs": {"join": 120, "heard": 640},
}

NODES: Final[dict[str, Any]] = {
    "items": [
        {
            "nodeId": "node-a",
            "region": "eu",
            "slots": 20,
            "warm": 3,
            "busy": 1,
            "free": 19,
            "prejoined": 0,
            "load": 0.31,
            "draining": True,
            "drainSince": "2026-11-24T12:00:00Z",
            "drainUntil": "2026-11-24T12:10:00Z",
            "version": "0.2.0",
            "startedAt": "2026-11-24T08:00:00Z",
            "sessions": [_ID],
        }
    ]
}

CONSOLE: Final[dict[str, Any]] = {
    "version": "0.2.0",
    "needsKey": True,
    "scopes": ["admin", "billing:read", "metrics", "sessions", "tokens"],
    "deployment": "west",
    "traceUrl": "http://localhost:16686/trace/{traceId}",
    "turnBudgetMs": 1200,
    "creditsPerMinute": 1,
    "defaults": {"voiceId": "Ashley", "systemPrompt": "You are a helpful AI voice assistant."},
    "voices": ["Ashley", "Dennis"],
}
