"""Kills the processes of a killed supervisor: `python -I -S keeper.py` with a pipe from the supervisor as input.

The pipe says `+PID` when a process (the leader of a session) has started, and `-PID` when it has been reaped.
At the pipe's end every remaining session is killed: the supervisor was killed too, and the kernel's parent-death
signal reaches its children, but not theirs. Standard library only.
"""

import os
import signal
import sys


def session_members(session: int) -> list[int]:
    """The living processes of one session, from /proc; without zombies."""
    members: list[int] = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:  # it exited meanwhile
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            members.append(int(entry))
    return members


def kill_session(session: int) -> list[int]:
    """SIGKILL every process of a session, repeatedly, since one may fork meanwhile; return the killed pids."""
    killed: list[int] = []
    for _ in range(10):
        members = session_members(session)
        if not members:
            break
        for pid in members:
            try:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
            except ProcessLookupError:
                continue
    return killed


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sessions: set[int] = set()
    for line in sys.stdin:
        pid = int(line[1:])
        if line[0] == "+":
            sessions.add(pid)
        else:
            sessions.discard(pid)
    for session in sessions:
        kill_session(session)


if __name__ == "__main__":
    main()
