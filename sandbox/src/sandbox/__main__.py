"""`python -m sandbox [--host H] [--port P] [--port-file F]`: run until SIGTERM."""

import argparse
import logging
from pathlib import Path

from sandbox.app import create_app
from sandbox.server import server
from sandbox.settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(prog="sandbox", description="Stand-ins for AssemblyAI, Groq and Inworld.")
    parser.add_argument("--host", help="address to listen on (SANDBOX_HOST, 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for a free one (SANDBOX_PORT, 8010)")
    parser.add_argument("--port-file", type=Path, help="file to write the port to once it listens")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    given = {name: value for name in ("host", "port") if (value := getattr(arguments, name)) is not None}
    settings = Settings.load(given)
    server(create_app(settings), settings, arguments.port_file).run()


if __name__ == "__main__":
    main()
