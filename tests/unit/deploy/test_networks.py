"""The one network of compose.yaml with a fixed address, and the proxy before the gateway."""

import re
from ipaddress import ip_address, ip_network

import pytest
import yaml

from chassis.http_protocol import ConnectionLimits
from tests.support.compose import ROOT, interpolated, service

# moby's default-address-pools: Docker gives these to networks without a subnet, one after the other.
POOLS = [ip_network(f"172.{second}.0.0/16") for second in range(17, 32)] + [ip_network("192.168.0.0/16")]


@pytest.mark.parametrize("environment", [{}, {"MEDIA_NETWORK": "10.9.8"}])
def test_livekits_address_is_in_its_network_and_no_other_network_of_docker_can_take_that(
    environment: dict[str, str],
) -> None:
    networks = yaml.safe_load((ROOT / "compose.yaml").read_text())["networks"]
    (config,) = yaml.safe_load(interpolated(yaml.safe_dump(networks["media"]), environment))["ipam"]["config"]
    livekit = service("livekit", {"LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "s", **environment})

    subnet, address = ip_network(config["subnet"]), livekit["networks"]["media"]["ipv4_address"]
    allowed = yaml.safe_load(livekit["environment"]["LIVEKIT_CONFIG"])["turn"]["allow_restricted_peer_cidrs"]

    assert ip_address(address) in subnet
    assert f"{address}/32" in allowed
    assert not [pool for pool in POOLS if pool.overlaps(subnet)]
    assert config["subnet"] == f"{environment.get('MEDIA_NETWORK', '10.213.117')}.0/28"


def test_the_proxy_gives_an_idle_connection_up_before_the_gateway_closes_it() -> None:
    caddyfile = (ROOT / "deploy/caddy/Caddyfile").read_text()
    (seconds,) = re.findall(r"GATEWAY_UPSTREAM[^}]*} \{[^}]*keepalive (\d+)s", caddyfile)

    assert int(seconds) < ConnectionLimits().idle_s
