"""NATS as the services reach it, with an inbox that the user of NATS_URL may use."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from chassis.access import NatsAccess
from chassis.errors import StartFailed
from chassis.nats import Bus, BusUnavailable
from greenroom_cli.doctor.check import START, Broken
from greenroom_cli.settings import Settings

CONNECT_S: Final = 4.0  # the first imports of other checks may block the event loop for seconds on a busy machine
ANSWER_S: Final = 2.0
_OWN_NAME: Final = "doctor"  # of the inbox, where NATS_URL names no user


@asynccontextmanager
async def nats_reached(settings: Settings) -> AsyncGenerator[Bus]:
    """Connect with what the services connect with.

    Raises:
        Broken: The settings are wrong, or NATS does not answer or rejects them.
    """
    try:
        access = NatsAccess.of(
            settings.nats_url,
            creds=settings.nats_creds,
            nkey_seed=settings.nats_nkey_seed_file,
            ca=settings.nats_ca_file,
            cert=settings.nats_cert_file,
            key=settings.nats_key_file,
        )
    except ValueError as error:
        raise Broken(f"NATS_URL: {error}", "correct NATS_URL") from None
    try:
        bus = await Bus.connect(access, name=access.user or _OWN_NAME, deadline_s=CONNECT_S, graceful_timeout_s=0)
    except BusUnavailable as error:
        raise Broken(f"{access.shown}: {error.doing}", f"check NATS_URL; {START}") from None
    except StartFailed as error:  # NATS rejects the credentials, or a setting or its file is unusable
        raise Broken(error.cause, error.fix) from None
    try:
        yield bus
    finally:
        await bus.close()
