"""NATS as the services reach it: with their client, their reading of NATS_URL and its files, and the user's inbox."""

# pyright: reportUnknownMemberType=false

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from chassis.access import NatsAccess
from chassis.nats import BusRefused
from chassis.nats.connection.client import RecordingClient, options_of
from chassis.nats.connection.connection import inbox_prefix
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from greenroom_cli.doctor.check import START, Broken
from greenroom_cli.settings import Settings

CONNECT_S = 2
ANSWER_S = 2.0
OWN_NAME = "doctor"  # for the inbox, when NATS_URL has no user


class Reached:
    """A working connection.

    Attributes:
        shown: The servers, without credentials.
    """

    def __init__(self, client: RecordingClient, shown: str, errors: list[Exception]) -> None:
        self.shown = shown
        self._client = client
        self._errors = errors

    @property
    def jetstream(self) -> JetStreamContext:
        return self._client.jetstream(timeout=ANSWER_S)

    @property
    def refusal(self) -> str | None:
        """The server's permission error: a request that it refuses gets no reply."""
        refusals = (self._client.refusal_in(error) for error in self._errors)
        return next((refusal for refusal in refusals if refusal), None)


@asynccontextmanager
async def nats_reached(settings: Settings) -> AsyncGenerator[Reached]:
    """Connect as the services do.

    Raises:
        Broken: The settings are wrong, or NATS does not answer or refuses them.
    """
    errors: list[Exception] = []

    async def remember(error: Exception) -> None:
        errors.append(error)

    try:
        access = NatsAccess.of(
            settings.nats_url,
            creds=settings.nats_creds,
            nkey_seed=settings.nats_nkey_seed_file,
            ca=settings.nats_ca_file,
            cert=settings.nats_cert_file,
            key=settings.nats_key_file,
        )
        client, identity = RecordingClient(must_encrypt=access.must_encrypt), options_of(access)
    except ValueError as error:
        raise Broken(f"NATS_URL: {error}", "correct NATS_URL") from None
    except BusRefused as error:
        raise Broken(error.cause, error.fix) from None
    try:
        await client.connect(
            list(access.servers),
            **identity,
            inbox_prefix=inbox_prefix(access.user or OWN_NAME),
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=CONNECT_S,
            error_cb=remember,
        )
    except (OSError, NatsError, ValueError) as error:
        raise Broken(f"{access.shown}: {errors[-1] if errors else error}", f"check NATS_URL; {START}") from None
    try:
        yield Reached(client, access.shown, errors)
    finally:
        await client.close()
