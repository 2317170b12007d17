"""The command: `python -m runtime.simulator --port 8200`."""

import argparse
import logging
import socket
from collections.abc import Sequence
from pathlib import Path

import orjson
import uvicorn

from runtime.simulator import company
from runtime.simulator.app import build_app
from runtime.simulator.cloud import CLIENT_ID, CLIENT_SECRET, TENANT_ID, Cloud, small_cloud

GRACE = 1
BROKEN = "returned without completing response"
"""What uvicorn complains of when an answer breaks off, which here is on purpose."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until the process is told to stop."""
    options = _parser().parse_args(arguments)
    listener = socket.create_server((options.host, options.port), backlog=1024)
    base_url = options.public_url or f"http://{options.host}:{listener.getsockname()[1]}"
    cloud = small_cloud(base_url, options.seed, consented=not options.without_consent)
    directory = cloud.tenant().directory
    if options.large:
        company.large(directory, *options.large)
    elif options.people:
        company.company(directory, options.people, options.groups, options.seed, oddities=options.oddities)
    config = uvicorn.Config(
        build_app(cloud, orjson.loads(options.script.read_bytes()) if options.script else None),
        lifespan="on",
        log_level="error",
        access_log=False,
        ws="none",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE,
    )
    logging.getLogger("uvicorn.error").addFilter(lambda record: BROKEN not in record.getMessage())
    with listener:
        _say(cloud)
        uvicorn.Server(config).run(sockets=[listener])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m runtime.simulator", description="A small Entra, in memory.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8200, help="0 takes any; the first line says which")
    parser.add_argument("--public-url", help="the address that links and issuers carry")
    parser.add_argument("--seed", type=int, default=0, help="the same ids, names and chances again (default: 0)")
    parser.add_argument("--people", type=int, default=0, help="begin with a company of so many people")
    parser.add_argument("--groups", type=int, default=6, help="its groups (default: 6)")
    parser.add_argument("--oddities", action="store_true", help="with what real directories hold as well")
    parser.add_argument(
        "--large", type=int, nargs=3, metavar=("PEOPLE", "GROUPS", "MEMBERSHIPS"), help="begin with a large directory"
    )
    parser.add_argument("--script", type=Path, help='commands to begin with: a JSON list of {"do": verb, …}')
    parser.add_argument("--without-consent", action="store_true", help="nobody may read the tenant yet")
    return parser


def _say(cloud: Cloud) -> None:
    """Tell whoever started this where everything is."""
    print(f"Listening on  {cloud.base_url}", flush=True)
    print(f"Control       {cloud.base_url}/control", flush=True)
    print(f"Tenant        {TENANT_ID} ({cloud.tenant().directory.domain})", flush=True)
    print("For the server:", flush=True)
    for name, value in {
        "GRAPH_URL": cloud.base_url,
        "LOGIN_URL": cloud.base_url,
        "ENTRA_CLIENT_ID": CLIENT_ID,
        "ENTRA_CLIENT_SECRET": CLIENT_SECRET,
    }.items():
        print(f"  SCIM_SERVER_{name}={value}", flush=True)


if __name__ == "__main__":
    main()
