"""Checks compose.yaml, .env.example and the Dockerfile against the code: `python deploy/check.py` in `make check`.

- compose.yaml is valid: by `docker compose config` if installed, otherwise by the Compose Specification's JSON schema;
- it contains each of our services, and gives them only variables that they read;
- each variable of .env.example reaches the services that read it;
- each variable that it takes from .env is in .env.example, which lists all variables that the code reads, and no other;
- deploy/nats/nats.conf, deploy/redis/redis-server and deploy/grafana/dashboards are the output of deploy/backplane.py
  and deploy/dashboards.py, and the containers have the passwords;
- each service uses its own user of NATS and Redis, and no other container is on a network with them;
- only the gateway, LiveKit and Caddy are published beyond loopback;
- each container is read-only and confined, with limits and a health check; each image has a tag or a digest;
- the Dockerfiles pass hadolint, and deploy/docker/pin can pin their base images.
"""

import importlib
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import backplane
import dashboards
import yaml
from pydantic_settings import BaseSettings

from chassis import settings
from greenroom_cli import env_names

ROOT = Path(__file__).resolve().parents[1]
PARTS = {
    "gateway": "gateway",
    "scheduler": "scheduler",
    "agent-runner": "agent_runner",
    "billing": "billing",
    "sandbox": "sandbox",
}
# A one-shot container before billing, with billing's settings.
ALSO = {"migrate": "billing"}
# Variables that .env cannot change in Docker: NATS_URL has each service's user, and further credentials are refused.
WITHHELD = {"NATS_CREDS", "NATS_NKEY_SEED_FILE"}
# The same for single services: these two have no separate health port, the image knows where it has the console, and
# sandbox.env sets the sandbox's keys.
FIXED = {
    "gateway": {"HEALTH_PORT", "CONSOLE_DIR"},
    "billing": {"HEALTH_PORT"},
    "sandbox": {"SANDBOX_ASSEMBLY_KEY", "SANDBOX_GROQ_KEY", "SANDBOX_INWORLD_KEY"},
}
# Variables that the Compose file itself reads, for the servers.
SERVERS_VARIABLES = env_names.compose_variables()
# The servers with data, and the containers that may be published on every interface of the host.
STORES = {"nats", "redis", "postgres"}
PUBLIC = {"gateway", "livekit", "caddy"}
# Capabilities that a container may keep: to become its own user, or to listen below port 1024.
CAPABILITIES = {
    "redis": {"CHOWN", "DAC_OVERRIDE", "SETGID", "SETUID"},
    "postgres": {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"},
    "caddy": {"NET_BIND_SERVICE"},
}
DOCKERFILES = ("Dockerfile", "deploy/caddy/Dockerfile", "deploy/railway/nats.Dockerfile")
# Modules of settings; no other module reads the environment.
SETTINGS = re.compile(r"(settings|agent_config)$")


def variables(package: str) -> set[str]:
    """All environment variables that a package's settings classes read."""
    found: set[str] = set()
    root = importlib.import_module(package)
    for module in pkgutil.walk_packages(root.__path__, f"{package}."):
        if SETTINGS.search(module.name):
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, type) and issubclass(value, BaseSettings):
                    found |= settings.variables(value)
    return found


def compose_problems(
    compose: Mapping[str, Any], read: Mapping[str, set[str]], offered: set[str], text: str
) -> list[str]:
    """Names in compose.yaml that the code does not know, and the reverse."""
    services: Mapping[str, Any] = compose["services"]
    problems = [f"compose.yaml starts no {part}" for part in PARTS if part not in services]
    for name, service in services.items():
        package = {**PARTS, **ALSO}.get(name)
        if package is None:
            continue
        given = set(service.get("environment", {}))
        problems += [f"compose.yaml gives {name} {v}, which {package} does not read" for v in given - read[package]]
    asked = set(re.findall(r"(?<!\$)\$\{([A-Z0-9_]+)", text))
    problems += [f"compose.yaml asks for {v}, which .env.example does not name" for v in asked - offered]
    return sorted(problems)


def withheld_problems(compose: Mapping[str, Any], read: Mapping[str, set[str]], offered: set[str]) -> list[str]:
    """Variables that .env may set but that reach no service."""
    services: Mapping[str, Any] = compose["services"]
    return sorted(
        f"compose.yaml does not give {part} {v}, which {package} reads and .env.example offers"
        for part, package in PARTS.items()
        for v in (read[package] & offered)
        - set(services[part].get("environment", {}))
        - FIXED.get(part, set())
        - WITHHELD
    )


def example_problems(offered: set[str], read: set[str]) -> list[str]:
    """Differences between .env.example and the code."""
    problems = [f".env.example names {v}, which nothing reads" for v in offered - read - SERVERS_VARIABLES]
    return sorted(problems + [f".env.example does not name {v}, which the code reads" for v in read - offered])


def network_problems(compose: Mapping[str, Any]) -> list[str]:
    """Foreign containers on a network of NATS, Redis or PostgreSQL, and ports that are published too widely."""
    services: Mapping[str, Any] = compose["services"]
    ours = {*PARTS, *ALSO} - {"sandbox"}
    problems = [
        f"compose.yaml puts {name} on the default network" for name, s in services.items() if "networks" not in s
    ]
    back = {network for name in STORES & set(services) for network in services[name].get("networks", ())}
    problems += [
        f"compose.yaml puts {name} on {network}, a network of NATS, Redis or PostgreSQL"
        for name, service in services.items()
        if name not in STORES | ours
        for network in back & set(service.get("networks", ()))
    ]
    problems += [
        f"compose.yaml publishes {port} of {name} beyond loopback: write 127.0.0.1:{port}"
        for name, service in services.items()
        if name not in PUBLIC
        for port in service.get("ports", ())
        if not str(port).startswith("127.0.0.1:")
    ]
    return sorted(problems)


def user_problems(compose: Mapping[str, Any]) -> list[str]:
    """Services that use another's user of NATS or Redis, or none, and passwords that a server does not get."""
    services: Mapping[str, Any] = compose["services"]
    problems = [
        f"compose.yaml gives {part} {variable} without the user {part}"
        for part in PARTS
        for variable in ("NATS_URL", "REDIS_URL")
        if (url := services.get(part, {}).get("environment", {}).get(variable)) and f"//{part}:$" not in url
    ]
    problems += [
        f"compose.yaml does not give {server} {variable}"
        for server, wanted in backplane.variables().items()
        for variable in wanted - set(services.get(server, {}).get("environment", {}))
    ]
    return sorted(problems)


def hardening_problems(compose: Mapping[str, Any]) -> list[str]:
    """Containers that may write, do or use more than they need, and those without a health check."""
    services: Mapping[str, Any] = compose["services"]
    wanted = {
        "read_only: true": lambda s: s.get("read_only") is True,
        "cap_drop: [ALL]": lambda s: s.get("cap_drop") == ["ALL"],
        "no-new-privileges": lambda s: "no-new-privileges:true" in s.get("security_opt", ()),
        "mem_limit": lambda s: "mem_limit" in s,
        "pids_limit": lambda s: "pids_limit" in s,
        "rotated logs": lambda s: s.get("logging", {}).get("driver") == "local",
        "healthcheck": lambda s: "healthcheck" in s or s.get("restart") == "no",
    }  # fmt: skip
    problems = [
        f"compose.yaml gives {name} no {what}"
        for name, service in services.items()
        for what, holds in wanted.items()
        if not holds(service)
    ]
    problems += [
        f"compose.yaml gives {name} the capability {capability}"
        for name, service in services.items()
        for capability in set(service.get("cap_add", ())) - CAPABILITIES.get(name, set())
    ]
    problems += [
        f"compose.yaml takes {image} without a version"
        for service in services.values()
        if "build" not in service and ((image := service["image"]).endswith(":latest") or ":" not in image)
    ]
    return sorted(problems)


def base_image_problems(name: str, dockerfile: str) -> list[str]:
    """Base images that deploy/docker/pin would leave out."""
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", dockerfile, flags=re.MULTILINE))
    bases = re.findall(r"^FROM (\S+)", dockerfile, flags=re.MULTILINE)
    return [
        f"{name}: write FROM {base}${{NAME_DIGEST}} and ARG NAME_DIGEST="
        for base in bases
        if ":" in base and base not in stages and not re.search(r"\$\{\w+_DIGEST\}$", base)
    ]


def stale_files() -> list[str]:
    """Generated files that are out of date."""
    return [
        f"{file.relative_to(ROOT)} is out of date: run make docs"
        for file, text in (backplane.documents() | dashboards.documents()).items()
        if not file.is_file() or file.read_text(encoding="utf-8") != text
    ]


def offered_by(example: str) -> set[str]:
    """The variables of an .env file, including commented ones with a default."""
    return set(re.findall(r"^#? ?([A-Z][A-Z0-9_]*)=", example, flags=re.MULTILINE))


def run(*command: str) -> list[str]:
    """Run a tool; return its output if it fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    return [] if done.returncode == 0 else [f"{command[0]}: {(done.stdout + done.stderr).strip()}"]


def compose_form() -> list[str]:
    """Check compose.yaml against the schema of the Compose Specification."""
    docker = shutil.which("docker")
    if docker and not run(docker, "compose", "version"):
        return run(docker, "compose", "--env-file", ".env.example", "-f", "compose.yaml", "config", "--quiet")
    return run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml")


def main() -> int:
    """Print each problem on a line; return 1 if there is one."""
    text = (ROOT / "compose.yaml").read_text()
    compose = yaml.safe_load(text)
    offered = offered_by((ROOT / ".env.example").read_text())
    read = {package: variables(package) for package in [*PARTS.values(), "greenroom_cli"]}
    problems = [
        *compose_form(),
        *compose_problems(compose, read, offered, text),
        *withheld_problems(compose, read, offered),
        *network_problems(compose),
        *user_problems(compose),
        *hardening_problems(compose),
        *(p for name in DOCKERFILES for p in base_image_problems(name, (ROOT / name).read_text())),
        *stale_files(),
        *example_problems(offered, set[str]().union(*read.values())),
        *run(str(Path(sys.executable).with_name("hadolint")), *DOCKERFILES, ".devcontainer/Dockerfile"),
    ]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
