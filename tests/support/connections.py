"""A barrier for one connection of nats-py."""

from nats.aio.client import Client


async def written(client: Client) -> None:
    """Return when the server has handled all that `client` has sent.

    One `flush` is not enough: nats-py writes the PING past its own buffer, so the PONG can come before the server
    has the subscription. The first flush empties the buffer; the second one's PING follows what was in it.
    """
    await client.flush()
    await client.flush()
