"""The process: its first lines, its seed, its script, and what it begins with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.runtime.simulator.rounds import ok
from tests.simulator import CLIENT_ID, CLIENT_SECRET, TENANT_ID, simulated


def test_first_lines_are_the_servers_settings(tmp_path: Path) -> None:
    """Whoever starts it can paste what the server needs."""
    with simulated(tmp_path, people=3) as entra:
        printed = entra.output.read_text()
        overview = entra.do("overview")

    for line in (
        f"SCIM_SERVER_GRAPH_URL={entra.url}",
        f"SCIM_SERVER_LOGIN_URL={entra.url}",
        f"SCIM_SERVER_ENTRA_CLIENT_ID={CLIENT_ID}",
        f"SCIM_SERVER_ENTRA_CLIENT_SECRET={CLIENT_SECRET}",
    ):
        assert line in printed
    [tenant] = overview["tenants"]
    assert (TENANT_ID, 3, 6) == (tenant["id"], tenant["users"], tenant["groups"])


def test_seed_makes_the_same_directory(tmp_path: Path) -> None:
    """Two processes with one seed agree in every id; another seed gives others."""

    def ids(seed: str) -> list[str]:
        with simulated(tmp_path, "--seed", seed, people=5) as entra:
            entra.tenant().do("churn", count=10, seed=1)
            return [user["id"] for user in entra.tenant().truth()["users"]]

    first, again, other = ids("4"), ids("4"), ids("5")

    assert first == again
    assert not set(first) & set(other)


def test_script_is_carried_out_at_the_start(tmp_path: Path) -> None:
    """Steps one after the other, with pauses; faults among them."""
    script: list[dict[str, Any]] = [
        {"do": "company", "people": 4, "groups": 1, "seed": 3},
        {"do": "wait", "seconds": 0.05},
        {"do": "rename_group", "group": "All Employees", "name": "Everybody"},
        {"do": "fault", "kind": "error", "path": "^/users"},
    ]

    with simulated(tmp_path, script=script) as entra, entra.graph() as graph:
        assert 503 == graph.get("/users").status_code
        assert ["Everybody"] == [group["displayName"] for group in ok(graph.get("/groups"))["value"]]
        with pytest.raises(AssertionError, match="Step 2: There is no 'dance'"):
            entra.script({"do": "advance_clock", "seconds": 1}, {"do": "dance"})


def test_it_may_begin_without_consent(tmp_path: Path) -> None:
    """Then the administrator has to grant it first."""
    with simulated(tmp_path, "--without-consent") as entra:
        assert [700016] == entra.token(TENANT_ID).json()["error_codes"]
        asked = {
            "client_id": CLIENT_ID,
            "scope": "https://graph.microsoft.com/.default",
            "redirect_uri": "http://localhost:9/back",
        }
        address = f"{entra.url}/organizations/v2.0/adminconsent"
        assert f"tenant={TENANT_ID}" in httpx.get(address, params=asked).headers["Location"]
        assert 200 == entra.token(TENANT_ID).status_code


def test_two_can_run_side_by_side(tmp_path: Path) -> None:
    """Each has a port of its own, and the tokens of one say nothing to the other."""
    with simulated(tmp_path) as one, simulated(tmp_path) as other, other.graph(token=one.access_token()) as graph:
        assert one.url != other.url
        assert 401 == graph.get("/users").status_code
