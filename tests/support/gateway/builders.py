"""What the gateway reads: nodes, their jobs, and bodies of starts."""

import hashlib
import json
from typing import Any

from contracts.api import StartRequest
from contracts.registry import NodeJob, NodeState
from tests.support.scheduler import builders


def node(node_id: str = "n1", *, warm: int = 1, jobs: tuple[NodeJob, ...] = (), **fields: object) -> NodeState:
    return builders.node(node_id, warm=warm, busy=len(jobs), jobs=jobs, processes=2, **fields)


def job(session_id: str, *, pid: int = 9) -> NodeJob:
    return NodeJob(session_id=session_id, epoch=1, pid=pid)


def request(**fields: object) -> StartRequest:
    return StartRequest.model_validate({"userName": "Ann", **fields})


def first_form(body: dict[str, Any]) -> str:
    """The fingerprint as the first version computed it from a body with its defaults spelt out."""
    spelt_out: dict[str, Any] = {
        "user_name": "Ann",
        "voice_id": "Ashley",
        "opening_line": None,
        "system_prompt": "You are a helpful AI voice assistant.",
        "session_id": None,
        "user_id": None,
        "metadata": {},
        "tools": [],
        "wait": "accepted",
    }
    return hashlib.sha256(json.dumps(spelt_out | body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
