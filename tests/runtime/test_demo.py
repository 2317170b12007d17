"""`scim-server demo`: one command, a link that signs in, a filled console, and nothing left of it afterwards."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.console import Browser, said
from tests.processes import ROOT, STOP_SECONDS, environment, wait_for

READY_SECONDS = 120


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The demo, whose folder and words are in `tmp_path`; a port is found for it."""
    with (tmp_path / "said").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "runtime.cli", "demo", "--port", "0"],
            cwd=ROOT,
            env={**environment(), "TMPDIR": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    yield process
    if process.poll() is None:
        process.terminate()
        process.wait(STOP_SECONDS)


def answers(url: str) -> bool:
    """Say whether anything listens at an address."""
    try:
        httpx.get(url, timeout=10)
    except httpx.ConnectError:
        return False
    return True


def test_the_demo_shows_a_company_and_leaves_nothing(demo: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """The printed link signs in where people, teams, cards and a log are; SIGTERM ends all of it."""
    output = tmp_path / "said"

    def is_ready() -> bool:
        assert demo.poll() is None, output.read_text()
        return "Meanwhile, at Contoso" in output.read_text()

    wait_for(is_ready, READY_SECONDS)
    (link,) = re.findall(r"Console +(\S+)", output.read_text())
    parts = httpx.URL(link)
    with httpx.Client(base_url=f"{parts.scheme}://{parts.netloc.decode()}", timeout=60) as http:
        browser = Browser(http)
        browser.post("/console/sign-in", link=parts.params["link"])
        people, cards = said(browser.get("/console/people")), said(browser.get("/console/cards"))
        teams, log = said(browser.get("/console/teams")), said(browser.get("/console/log"))

    assert "@contoso.com" in people
    assert "Business card" in cards
    assert "Finance" in teams
    assert "Entra (SCIM)" in log

    addresses = re.findall(r"(?:Tenant URL|Entra) +(\S+)", output.read_text())
    assert [True, True] == [answers(each) for each in addresses]
    assert [] != list(tmp_path.glob("scim-server-demo-*"))
    demo.send_signal(signal.SIGTERM)

    assert 0 == demo.wait(STOP_SECONDS)
    assert [False, False] == [answers(each) for each in addresses]
    assert [] == list(tmp_path.glob("scim-server-demo-*"))
