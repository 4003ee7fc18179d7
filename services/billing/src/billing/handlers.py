"""Commands about credit. Every user is post-paid, so neither a hold nor a grant has a limit (None)."""

from contracts.commands import CreditGranted, GrantCredit, ReserveCredit


async def reserve(command: ReserveCredit) -> CreditGranted:
    return CreditGranted(granted_minutes=None)


async def grant(command: GrantCredit) -> CreditGranted:
    return CreditGranted(granted_minutes=None)
