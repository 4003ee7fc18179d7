"""Render the users of NATS and Redis in the syntax of the servers' configuration files."""

import json
from collections.abc import Iterable, Mapping, Sequence

from contracts.users import ACCOUNT, NODES_ACCOUNT, NatsUser, RedisUser


def nats_accounts(users: Sequence[NatsUser], passwords: Mapping[str, str]) -> str:
    """The block `accounts` of a nats.conf.

    NODES imports each subject that its users publish from ACCOUNT; ACCOUNT imports each request that they answer from
    NODES. The server replaces the reply subject of an imported request and delivers the reply only in the requester's
    account, so a reply never becomes a message of ACCOUNT. Each request has one reply.

    Args:
        passwords: User -> password as the file's text: a quoted string, or `$VARIABLE`.
    """
    nodes = [user for user in users if user.account == NODES_ACCOUNT]
    asked = list(dict.fromkeys(subject for user in nodes for subject in user.publish))
    answered = list(dict.fromkeys(subject for user in nodes for subject in user.answers))
    ours = _account(
        ACCOUNT,
        [user for user in users if user.account == ACCOUNT],
        passwords,
        exports=[_export(subject, NODES_ACCOUNT) for subject in asked],
        imports=[_import(subject, NODES_ACCOUNT) for subject in answered],
        more="    jetstream: enabled\n",
    )
    theirs = _account(
        NODES_ACCOUNT,
        nodes,
        passwords,
        exports=[_export(subject, ACCOUNT) for subject in answered],
        imports=[_import(subject, ACCOUNT) for subject in asked],
    )
    return f"accounts {{\n{ours}{theirs}}}\n"


def _account(
    name: str,
    users: Iterable[NatsUser],
    passwords: Mapping[str, str],
    *,
    exports: Iterable[str],
    imports: Iterable[str],
    more: str = "",
) -> str:
    entries = "".join(_nats_user(user, passwords[user.name]) for user in users)
    between = _list("exports", exports) + _list("imports", imports)
    return f"  {name} {{\n{more}    users = [\n{entries}    ]\n{between}  }}\n"


def _list(name: str, entries: Iterable[str]) -> str:
    lines = "".join(f"      {entry}\n" for entry in entries)
    return f"    {name} = [\n{lines}    ]\n"


def _export(subject: str, to: str) -> str:
    return f"{{ service: {json.dumps(subject)}, accounts: [{to}] }}"


def _import(subject: str, of: str) -> str:
    return f"{{ service: {{ account: {of}, subject: {json.dumps(subject)} }} }}"


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
    """The lines of a redis.conf that admit these users and refuse clients without a password.

    Args:
        passwords: User -> password as the file's text.
    """
    lines = [f"user {user.name} on >{passwords[user.name]} {user.rules}" for user in users]
    return "\n".join(["user default off", *lines]) + "\n"
