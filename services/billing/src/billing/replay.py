"""`python -m billing.replay SESSION`: explain a bill, and compute it again from its evidence and from the log.

Exit code: 0 when the results agree, 1 when they differ, 2 without a bill or when a store is unavailable.
"""

import asyncio
import sys

from billing.adapters.database import Database
from billing.adapters.nats_session_log import NatsSessionLog
from billing.adapters.sql_ledger import SqlLedger
from billing.domain.audit import against_log, findings
from billing.domain.bill import view
from billing.domain.ledger import Account
from billing.domain.usage import IncompleteLog, NotEnded, usage
from billing.ports import LedgerUnavailable, Unavailable
from billing.settings import Settings
from chassis.errors import StartFailed
from chassis.nats import Bus
from chassis.redaction import say
from chassis.settings import load

_CONNECT_S = 3.0


async def replay(settings: Settings, session_id: str) -> int:
    """Print the bill on stdout and the differences on stderr; return the exit code."""
    database = Database(settings.database)
    if database.is_missing:
        return _fail(
            f"the database {database.shown} does not exist. Set DATABASE_URL to that of billing; `greenroom up` "
            "writes it into run.json of the state folder, and NATS_URL too."
        )
    try:
        account = await SqlLedger(database).account(session_id)
    except LedgerUnavailable as error:
        return _fail(f"the database does not answer: {error.reason}. Check DATABASE_URL and that it runs.")
    finally:
        await database.close()
    if account is None:
        return _fail(f"{session_id} has no bill")
    sys.stdout.write(view(account).model_dump_json(by_alias=True, indent=2) + "\n")
    found = findings(account)
    try:
        found += await _by_the_log(settings, account)
        said = "the log gives the same ledger, byte for byte"
    except (IncompleteLog, NotEnded, Unavailable, StartFailed) as error:
        said = f"not compared with the log: {error}"
    for line in found or [said]:
        say(f"billing.replay: {line}")
    return 1 if found else 0


async def _by_the_log(settings: Settings, account: Account) -> list[str]:
    bus = await Bus.connect(settings.nats, name="billing-replay", deadline_s=_CONNECT_S)
    try:
        session_id = account.settlement.session_id
        return against_log(account, usage(session_id, await NatsSessionLog(bus).history(session_id)))
    finally:
        await bus.close()


def _fail(line: str) -> int:
    say(f"billing.replay: {line}")
    return 2


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        return _fail("usage: python -m billing.replay SESSION")
    return asyncio.run(replay(load(Settings), arguments[0]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
