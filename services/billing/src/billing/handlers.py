"""Commands about credit. Every user is post-paid, so neither a hold nor a grant has a limit (None)."""

from typing import Final

from chassis.nats import command_router
from contracts.commands import GRANT, RESERVE, CreditGranted, GrantCredit, ReserveCredit

_QUEUE: Final = "billing"  # replicas share the commands
_AT_ONCE: Final = 8

router = command_router()


@router.subscriber(RESERVE.subject, _QUEUE, max_workers=_AT_ONCE)
async def reserve(command: ReserveCredit) -> CreditGranted:
    return CreditGranted(granted_minutes=None)


@router.subscriber(GRANT.subject, _QUEUE, max_workers=_AT_ONCE)
async def grant(command: GrantCredit) -> CreditGranted:
    return CreditGranted(granted_minutes=None)
