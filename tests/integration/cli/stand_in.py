"""A small process in place of a service: `python stand_in.py PORT [behaviour]`.

It answers 200 on its port. Behaviours: `slow` ignores SIGTERM; `child` starts a grandchild and says its pid; `deaf`
never listens; `dies` says a reason and exits with 3; `fragile` is killed half a second after an answer; `once`
listens in its first run alone, which makes the file of the third argument.
"""

import http.server
import logging
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

logging.basicConfig(format="%(message)s", level=logging.INFO)
port, behaviour = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        if behaviour == "fragile":
            threading.Timer(0.5, lambda: signal.raise_signal(signal.SIGKILL)).start()

    def log_message(self, format: str, *args: object) -> None:
        return


if behaviour == "dies":
    logging.info("the disk is on fire")
    sys.exit(3)
if behaviour == "slow":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if behaviour == "child":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    logging.info("grandchild %d", child.pid)
if behaviour == "once":
    try:
        Path(sys.argv[3]).touch(exist_ok=False)
    except FileExistsError:
        behaviour = "deaf"
if behaviour == "deaf":
    time.sleep(600)
http.server.HTTPServer(("127.0.0.1", port), Answer).serve_forever()
