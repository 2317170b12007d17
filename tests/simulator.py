"""The simulated Entra for tests: started in a process of its own, steered over `/control`, spoken to over its socket.

    with simulated(tmp_path, people=40) as entra:
        entra.do("rename_group", group="Sales", name="Sales EMEA")
        entra.do("fault", kind="throttle", path="/users/delta", retry_after=1, count=3)
        environment(**entra.server_settings)        # GRAPH_URL, LOGIN_URL, ENTRA_CLIENT_ID, ENTRA_CLIENT_SECRET

It does not know the product, and the product does not know it: whatever is said here goes over http.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests import nursery
from tests.nursery import Process

START_SECONDS = 90
TENANT_ID = "aaaaaaaa-0000-4000-8000-000000000001"
CLIENT_ID = "cccccccc-0000-4000-8000-000000000001"
CLIENT_SECRET = "simulated-client-secret"


@dataclass(frozen=True)
class Entra:
    """A running simulator."""

    url: str
    process: Process
    output: Path
    control: httpx.Client = field(repr=False)
    tenant_id: str = TENANT_ID
    client_id: str = CLIENT_ID
    client_secret: str = CLIENT_SECRET

    @property
    def server_settings(self) -> dict[str, str]:
        """What the server is started with, in the words of `tests.processes.environment`."""
        return {
            "graph_url": self.url,
            "login_url": self.url,
            "entra_client_id": self.client_id,
            "entra_client_secret": self.client_secret,
        }

    def do(self, verb: str, /, **arguments: Any) -> dict[str, Any]:
        """Carry out a verb of `/control`; fail when it is refused."""
        answer = self.control.post(f"/control/{verb}", json=arguments)
        assert 200 == answer.status_code, f"{verb}: {answer.text}"
        result: dict[str, Any] = answer.json()
        return result

    def script(self, *steps: dict[str, Any]) -> list[dict[str, Any]]:
        """Carry out verbs one after the other: `{"do": "create_user", …}`."""
        answer = self.control.post("/control/script", json=list(steps))
        assert 200 == answer.status_code, answer.text
        results: list[dict[str, Any]] = answer.json()["results"]
        return results

    def reset(self) -> None:
        """Take faults and settings back, and forget what was counted; the directories stay as they are."""
        self.do("clear_faults")
        self.do("reset_settings")
        self.do("counters", reset=True)

    def new_tenant(self, **arguments: Any) -> EntraTenant:
        """Make a tenant with an empty directory that no other test knows."""
        name = f"t{uuid.uuid4().hex[:10]}"
        made = self.do("create_tenant", name=name, domain=f"{name}.example", **arguments)
        return EntraTenant(self, made["id"], made["domain"])

    def tenant(self) -> EntraTenant:
        """Give the tenant that was there at the start."""
        return EntraTenant(self, self.tenant_id, "contoso.com")

    def access_token(self, tenant: str = "", **form: str) -> str:
        """Get a token for Graph by the client's secret."""
        answer = self.token(tenant or self.tenant_id, **form)
        assert 200 == answer.status_code, answer.text
        return str(answer.json()["access_token"])

    def token(self, tenant: str, **form: str) -> httpx.Response:
        """Ask the token endpoint for an application's token."""
        asked = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "scope": f"{self.url}/.default",
        }
        return self.control.post(f"/{tenant}/oauth2/v2.0/token", data={**asked, **form})

    @contextlib.contextmanager
    def graph(self, tenant: str = "", token: str | None = None) -> Iterator[httpx.Client]:
        """Open a client of Graph with a token; paths are below `/v1.0`."""
        headers = {"Authorization": f"Bearer {token or self.access_token(tenant)}"}
        with httpx.Client(base_url=f"{self.url}/v1.0", headers=headers, timeout=60) as client:
            yield client


@dataclass(frozen=True)
class EntraTenant:
    """One customer's directory in a running simulator."""

    entra: Entra
    id: str
    domain: str

    def do(self, verb: str, /, **arguments: Any) -> dict[str, Any]:
        """Carry out a verb of `/control` in this directory."""
        return self.entra.do(verb, tenant=self.id, **arguments)

    def user(self, alias: str, **properties: Any) -> str:
        """Create a user with a name in this directory's domain; give the object id."""
        name = properties.pop("userPrincipalName", f"{alias}@{self.domain}")
        return str(self.do("create_user", userPrincipalName=name, **properties)["id"])

    def group(self, name: str, *members: str, **properties: Any) -> str:
        """Create a group; give its object id."""
        return str(self.do("create_group", displayName=name, members=members, **properties)["id"])

    def truth(self) -> dict[str, Any]:
        """Give the whole directory, to hold a mirror against it."""
        return self.do("directory")

    def graph(self) -> contextlib.AbstractContextManager[httpx.Client]:
        """Open a client of Graph for this directory."""
        return self.entra.graph(self.id)

    def push(self, tenant_url: str, token: str | None, cycle: str = "incremental", **options: Any) -> dict[str, Any]:
        """Run a cycle of the provisioning service against a Tenant URL; give its report."""
        return self.do("push", tenant_url=tenant_url, token=token, cycle=cycle, **options)

    def exchanges(self, report: dict[str, Any]) -> list[dict[str, Any]]:
        """List what a cycle asked and what it was answered."""
        exchanges: list[dict[str, Any]] = self.entra.do("exchanges", id=report["id"])["exchanges"]
        return exchanges


@contextlib.contextmanager
def simulated(
    folder: Path, *arguments: str, people: int = 0, groups: int = 6, script: list[dict[str, Any]] | None = None
) -> Iterator[Entra]:
    """Start a simulator and wait until it answers and its script is through; end it afterwards."""
    mark = uuid.uuid4().hex[:6]
    options = ["--port", "0", "--people", str(people), "--groups", str(groups), *arguments]
    if script is not None:
        (folder / f"{mark}.json").write_text(json.dumps(script))
        options += ["--script", str(folder / f"{mark}.json")]
    output = folder / f"simulator-{mark}.out"
    process = nursery.start(options, os.environ, output, output, program="runtime.simulator")
    try:
        url = _address(process, output)
        with httpx.Client(base_url=url, timeout=120) as control:
            _wait_for_script(process, output, control)
            yield Entra(url, process, output, control)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: Process, output: Path) -> str:
    """Read the address from the first line, which is printed once the port is taken."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for line in output.read_text(errors="replace").splitlines(keepends=True):
            if line.startswith("Listening on") and line.endswith("\n"):
                return line.split()[-1]
        time.sleep(0.02)
    raise AssertionError(f"the simulator did not start ({process.poll()}):\n{output.read_text(errors='replace')}")


def _wait_for_script(process: Process, output: Path, control: httpx.Client) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            state = control.get("/control").json()["script"]
            if state in ("none", "done"):
                return
            assert state == "running", state
        assert process.poll() is None, output.read_text(errors="replace")
        time.sleep(0.02)
    raise AssertionError(f"the simulator's script does not end:\n{output.read_text(errors='replace')}")


class PlainHttp:
    """An `http_client` for msal, which knows only https: it asks over http what msal asks over https.

    The endpoints in a discovery document have to say https again, or msal refuses them. Give it to
    `ConfidentialClientApplication(…, authority=f"{https_url}/{tenant}", http_client=…, instance_discovery=False)`.
    """

    def __init__(self, url: str) -> None:
        self.plain = url
        self.secure = url.replace("http://", "https://")

    def get(self, url: str, **kwargs: Any) -> PlainResponse:
        return self._answered(httpx.get(self._plain(url), **_known(kwargs)))

    def post(self, url: str, **kwargs: Any) -> PlainResponse:
        return self._answered(httpx.post(self._plain(url), **_known(kwargs)))

    def close(self) -> None:
        """Hold nothing: each request has a connection of its own."""

    def _plain(self, url: str) -> str:
        assert url.startswith(self.secure), f"msal asks {url}, which is not the simulator"
        return url.replace(self.secure, self.plain, 1)

    def _answered(self, response: httpx.Response) -> PlainResponse:
        return PlainResponse(response.status_code, response.text.replace(self.plain, self.secure), response.headers)


def _known(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: kwargs[name] for name in ("params", "data", "headers") if kwargs.get(name) is not None}
    # msal gives an assertion as bytes, of which httpx would send the Python spelling.
    data = {
        name: value.decode() if isinstance(value, bytes) else value for name, value in known.pop("data", {}).items()
    }
    return {**known, **({"data": data} if data else {}), "timeout": 30}


@dataclass(frozen=True)
class PlainResponse:
    """What msal reads of an answer."""

    status_code: int
    text: str
    headers: Mapping[str, str]

    def raise_for_status(self) -> None:
        assert self.status_code < 400, self.text
