"""The users of NATS and Redis in the words of their servers' configuration."""

import json
from collections.abc import Iterable, Mapping

from contracts.users import NatsUser, RedisUser


def nats_authorization(users: Iterable[NatsUser], passwords: Mapping[str, str]) -> str:
    """The block `authorization` of a nats.conf.

    In the global account, so that a server that had no users keeps its streams.

    Args:
        passwords: By user, as they shall stand in the file: a quoted string, or `$VARIABLE`.
    """
    entries = "".join(_nats_user(user, passwords[user.name]) for user in users)
    return f"authorization {{\n  users = [\n{entries}  ]\n}}\n"


def _nats_user(user: NatsUser, password: str) -> str:
    lines = [f"publish: {{ {_subjects('allow', user.publish)}"]
    if user.refused:
        lines.append(f"           {_subjects('deny', user.refused)}")
    lines[-1] += " }"
    lines.append(_subjects("subscribe", user.subscribe))
    if user.answers_s:
        lines.append(f'allow_responses: {{ max: 1, expires: "{user.answers_s}s" }}')
    permissions = "\n".join(f"        {line}" for line in lines)
    return f"    {{ user: {user.name}\n      password: {password}\n      permissions {{\n{permissions}\n      }} }}\n"


def _subjects(name: str, allowed: Iterable[str]) -> str:
    quoted = ",\n          ".join(json.dumps(subject) for subject in dict.fromkeys(allowed))
    return f"{name}: [\n          {quoted} ]"


def redis_users(users: Iterable[RedisUser], passwords: Mapping[str, str]) -> str:
    """The lines of a redis.conf that admit these users and refuse a client without a password.

    Args:
        passwords: By user, as they shall stand in the file.
    """
    lines = [f"user {user.name} on >{passwords[user.name]} {user.rules}" for user in users]
    return "\n".join(["user default off", *lines]) + "\n"
