"""The answers about credit: every user is post-paid, so there is no bound to hold or raise anything against."""

from contracts.commands import CreditGranted, GrantCredit, ReserveCredit


async def reserve(command: ReserveCredit) -> CreditGranted:
    """Hold the first minute."""
    return CreditGranted(granted_minutes=None)


async def grant(command: GrantCredit) -> CreditGranted:
    """Raise a grant."""
    return CreditGranted(granted_minutes=None)
