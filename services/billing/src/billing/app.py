"""The billing service: `python -m billing.app`."""

import asyncio
from typing import Final

from starlette.applications import Starlette

from billing.adapters.database import Database
from billing.adapters.nats_session_log import NatsSessionLog
from billing.adapters.schema import REVISION
from billing.adapters.sql_ledger import SqlLedger
from billing.domain.rating import Tariff
from billing.follower.following import Following
from billing.follower.settling import Settling
from billing.handlers import router
from billing.ports import LedgerUnavailable
from billing.routes.bills import Bills
from billing.settings import Settings
from chassis import logs, problem
from chassis.errors import StartFailed
from chassis.lifecycle import Life, Service, run
from chassis.nats import CommandHandlers
from chassis.settings import load
from chassis.web import WebServer
from contracts.streams import DEAD, SESSIONS

NAME: Final = "billing"
_RETRY_S: Final = 0.5

log = logs.get_logger(__name__)


async def start(life: Life, settings: Settings) -> None:
    """Start the database, the bus, the HTTP API, then the follower."""
    database = Database(settings.database)
    life.on_stop("database", database.close)
    # A shorter deadline than the step's, so that the error names the database.
    await life.begin("schema", _current(database, deadline_s=0.8 * settings.start_timeout_s))
    life.health.add("database", database.reason_unready)
    bus = await life.connect(streams=(SESSIONS, DEAD), owned=())

    ledger, sessions = SqlLedger(database), NatsSessionLog(bus)
    settling = Settling(sessions, ledger, Tariff(settings.credits_per_minute))
    following = Following(sessions, ledger, settling, look_every_s=settings.reconcile_s)
    # Registered before HTTP starts, so that /ready does not answer 200 and then 503.
    life.health.add("log", following.readiness.reason)

    app = Starlette(routes=[*life.health.routes(), *Bills(ledger, sessions).routes()])
    problem.install(app)
    server = WebServer(app, host=settings.host, port=settings.port)
    await life.begin("HTTP", server.start(), stop=server.stop)
    log.info("http.listening", host=server.host, port=server.port)

    handlers = CommandHandlers(bus, router)
    await life.begin("commands", handlers.start(), stop=handlers.stop)
    life.spawn("following", following.run())


async def _current(database: Database, *, deadline_s: float) -> None:
    """Wait for the database, and refuse a schema of another version.

    Raises:
        StartFailed: The database does not answer, or its schema is older or newer.
    """
    reason = "no answer yet"
    try:
        async with asyncio.timeout(deadline_s):
            while True:
                try:
                    revision = await database.revision()
                    break
                except LedgerUnavailable as error:
                    reason = error.reason
                    log.warning("database.waiting", reason=reason)
                    await asyncio.sleep(_RETRY_S)
    except TimeoutError as error:
        raise StartFailed(
            f"the database does not answer: {reason}", "Check DATABASE_URL and that the database runs."
        ) from error
    if revision is not None and revision > REVISION:
        raise StartFailed(f"the database's schema is at {revision}, newer than this version", "Run a newer billing.")
    if revision != REVISION:
        raise StartFailed(
            f"the database's schema is at {revision or 'nothing'}, this version needs {REVISION}",
            "Run: python -m billing.migrate",
        )
    if missing := await database.missing_guards():
        raise StartFailed(
            f"the ledger is not append-only: no trigger {', '.join(missing)}",
            "Create them again, as services/billing/src/billing/migrations/versions does; find out who dropped them.",
        )


def main() -> None:
    settings = load(Settings)
    run(Service(NAME, settings, lambda life: start(life, settings), serve_health=False, fast_loop=True))


if __name__ == "__main__":
    main()
