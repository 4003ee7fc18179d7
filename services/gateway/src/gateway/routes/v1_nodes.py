"""`GET /v1/nodes`: the live nodes."""

from fastapi import APIRouter

from contracts.api_v1 import NodePage, NodeView
from contracts.errors import BUS_UNAVAILABLE
from contracts.registry import NodeState
from gateway.domain.access import Scope
from gateway.routes.documented import example, problems
from gateway.routes.services import RegistryPort
from gateway.routes.v1_examples import NODES

router = APIRouter(tags=["operation"])
SCOPE = Scope.ADMIN


@router.get("/v1/nodes", responses=problems(BUS_UNAVAILABLE) | example(NODES), operation_id="list_nodes")
async def list_nodes(registry: RegistryPort) -> NodePage:
    """The live nodes with their workers and sessions, at most 2 s old."""
    return NodePage(items=[_view(node) for node in sorted(await registry.nodes(), key=lambda node: node.node_id)])


def _view(node: NodeState) -> NodeView:
    return NodeView(
        node_id=node.node_id,
        region=node.region,
        slots=node.slots,
        warm=node.warm,
        busy=node.busy,
        free=node.free_slots,
        prejoined=len(node.rooms),
        load=node.load,
        draining=node.draining,
        drain_since=node.drain_since,
        drain_until=node.drain_until,
        version=node.version or None,
        started_at=node.started_at,
        sessions=sorted({job.session_id for job in node.jobs}),
    )
