"""What a worker can see of the node's secrets: real workers, read from outside."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.agent_runner.node_process import NodeProcess, descendants

SECRETS = {
    "REDIS_URL": "redis://agent-runner:redis-secret@127.0.0.1:1/0",
    "DATABASE_URL": "postgresql://greenroom:database-secret@127.0.0.1/greenroom",
    "LIVEKIT_API_SECRET": "livekit-secret",
    "GREENROOM_API_KEYS": "gateway-secret",
    "SOMETHING_ELSE": "unknown-secret",
}
KEPT = {
    "GROQ_API_KEY": "groq",
    "SSL_CERT_DIR": "/etc/ssl/certs",
    "OTEL_RESOURCE_ATTRIBUTES": "region=here",
    "HTTPS_PROXY": "http://127.0.0.1:1",
    "NO_PROXY": "127.0.0.1",
    "LC_ALL": "C.UTF-8",
}

# Both become an ordinary user, since root may read everything. That alone hides a process, so the node undoes it.
SNEAKY = """
import os, sys
os.setuid(int(sys.argv[2]))
try:
    print(open(f"/proc/{sys.argv[1]}/environ").read())
except PermissionError:
    print("refused")
"""

NODE = """
import ctypes, os, sys, time
from agent_runner.adapters.process_secrets import hide_process
os.setuid(int(sys.argv[1]))
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
if sys.argv[2] == "hidden":
    hide_process()
print("running", flush=True)
time.sleep(30)
"""


def environment(pid: int) -> dict[str, str]:
    entries = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


async def test_workers_and_the_forkserver_have_the_agents_variables_and_no_address_of_a_server(
    nats_url: str, tmp_path: Path
) -> None:
    url = nats_url.replace("//", "//agent-runner:nats-secret@")
    socks = {"ALL_PROXY": "socks5://user:proxy-secret@127.0.0.1:1"}
    (agent_env := tmp_path / "agent.env").write_text("LLM_TEMPERATURE=0.5\n")
    kept = KEPT | {"AGENT_ENV_FILE": str(agent_env)}
    env = SECRETS | kept | socks | {"PREWARM_POOL_SIZE": "1", "INWORLD_BASE_URL": "ws://127.0.0.1:1"}
    node = NodeProcess(tmp_path / "node", url, module="agent_runner.app", env=env).start()
    try:
        await node.ready(deadline_s=30)  # a SOCKS proxy leaves its workers alive
        below = descendants(node.pid)
        assert len(below) >= 2, "the forkserver and a worker"
        for pid in below:
            seen = environment(pid)
            assert seen.items() >= kept.items()
            assert not seen.keys() & {"NATS_URL", "ALL_PROXY", *SECRETS}
            assert "secret" not in "\n".join(seen.values())
        log = node.log.read_text()
        assert log.count("proxy.socks_ignored") == 1
        assert "proxy-secret" not in log
    finally:
        node.kill()


@pytest.mark.parametrize(("how", "is_read"), [("hidden", False), ("plain", True)])
def test_the_node_hides_what_it_was_started_with_from_its_own_user(how: str, is_read: bool) -> None:
    user = str(os.geteuid() or 65534)
    node = subprocess.Popen(
        [sys.executable, "-c", NODE, user, how],
        env={"SECRET": "for the node alone"}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert node.stdout is not None
        assert node.stdout.readline() == "running\n"
        worker = subprocess.run(
            [sys.executable, "-c", SNEAKY, str(node.pid), user], capture_output=True, text=True, timeout=10, check=True
        )
        assert ("for the node alone" in worker.stdout) == is_read
        assert (worker.stdout == "refused\n") != is_read
    finally:
        node.kill()
        node.wait()
