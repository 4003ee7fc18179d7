"""`POST /nodes/{nodeId}/drain`: drain a node without dropping its calls."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from chassis.logs import get_logger
from contracts.api import DrainRequest, DrainStarted
from contracts.errors import (
    BUS_UNAVAILABLE,
    IDEMPOTENCY_MISMATCH,
    IDEMPOTENCY_STORE_FULL,
    LOG_FULL,
    NODE_SILENT,
    UNKNOWN_NODE,
)
from contracts.ids import NODE_ID_PATTERN
from gateway.domain.access import Scope
from gateway.domain.idempotency import fingerprint
from gateway.routes.documented import WITH_BODY, problems
from gateway.routes.keyed import REPLAYED_DOCUMENTED, IdempotencyKey, once
from gateway.routes.services import KeysPort, RegistryPort

log = get_logger(__name__)
router = APIRouter(tags=["operation"])
SCOPE = Scope.ADMIN

_DEFAULT = DrainRequest()

NodeId = Annotated[str, Path(alias="nodeId", pattern=NODE_ID_PATTERN)]


@router.post(
    "/nodes/{nodeId}/drain",
    responses=problems(
        *WITH_BODY, UNKNOWN_NODE, NODE_SILENT, BUS_UNAVAILABLE, LOG_FULL, IDEMPOTENCY_MISMATCH, IDEMPOTENCY_STORE_FULL
    )
    | {200: {"headers": REPLAYED_DOCUMENTED}},
    operation_id="drain_node",
)
async def drain_node(
    node_id: NodeId,
    registry: RegistryPort,
    keys: KeysPort,
    response: Response,
    key: IdempotencyKey,
    body: DrainRequest = _DEFAULT,
) -> DrainStarted:
    """Drain a node: it takes no new calls, completes its calls until the limit, hands over the rest, and stops.

    It is safe to repeat; the last request's limit counts.
    """

    async def drain() -> DrainStarted:
        jobs = await registry.drain(node_id, body.limit_s)
        log.info("node.drain_asked", node_id=node_id, jobs=jobs)
        return DrainStarted(node_id=node_id, jobs=jobs)

    asked = fingerprint(body, node_id=node_id)
    return await once(key.of("drain"), asked, keys, response, DrainStarted, drain)
