"""What `/ready` of the gateway names as missing while it can take requests."""

import pytest

from chassis.health import Notes
from gateway.app import note_missing
from tests.support.gateway.world import World


@pytest.mark.parametrize(
    ("is_led", "bills", "told"),
    [
        (True, True, {}),
        (False, True, {"scheduler": "no scheduler leads"}),
        (True, False, {"billing": "ConnectError"}),
    ],
)
async def test_a_dead_scheduler_or_billing_is_named(
    world: World, is_led: bool, bills: bool, told: dict[str, str]
) -> None:
    world.registry.is_led = is_led
    world.billing.is_away = not bills
    notes = Notes()

    note_missing(notes, world.app().state.services)

    found = await notes.missing()
    assert {name: reason for name, reason in found.items() if name in ("scheduler", "billing")} == told
