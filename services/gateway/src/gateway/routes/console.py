"""`GET /v1/console`: what the console must know before it asks for a key, and what it shows with one."""

from fastapi import APIRouter, Request

from contracts.console import ConsoleReply
from gateway.domain.access import Scope
from gateway.routes.documented import example, problems
from gateway.routes.scopes import granted
from gateway.routes.services import Wired
from gateway.routes.v1_examples import CONSOLE

router = APIRouter(tags=["operation"])
SCOPE = None


@router.get("/v1/console", responses=problems() | example(CONSOLE), operation_id="get_console")
async def get_console(request: Request, services: Wired) -> ConsoleReply:
    """What the console must know. Public; a key with the scope `sessions` adds price, trace and voices."""
    shown, scopes = services.console, granted(request)
    known = ConsoleReply(
        version=request.app.version,
        needs_key=shown.needs_key,
        scopes=sorted(scopes),
        turn_budget_ms=services.turn_budget_ms,
    )
    if Scope.SESSIONS not in scopes:
        return known
    voices = await services.voices.known()
    return known.model_copy(
        update={
            "deployment": shown.deployment,
            "trace_url": shown.trace_url,
            "credits_per_minute": shown.credits_per_minute,
            "voices": None if voices is None else sorted(voices),
        }
    )
