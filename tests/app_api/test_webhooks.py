"""`/webhooks` of the API: what is taken as an address, shown once, changed and paged. Sending is in tests/flows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from app_core import clock, deliveries, outbox, teams
from app_core.db import Connection
from app_core.ports import Receipt, Trouble
from tests.app_api.conftest import House
from tests.app_api.held import ok, places, refused, unique, walk
from tests.processes import in_core, serving

if TYPE_CHECKING:
    from tests.conftest import Server

NOBODY = "http://127.0.0.1:9/hooks"


def test_a_secret_is_shown_once(house: House, api: httpx.Client) -> None:
    """Where it is made and where it is changed, and nowhere else: not in the log, not for a repeated request."""
    key = {"Idempotency-Key": unique()}
    body = {"url": NOBODY, "description": "CRM", "types": ["card.paused", "team.created"]}
    made = ok(api.post("webhooks", json=body, headers=key), 201)
    refused(api.post("webhooks", json=body, headers=key), 409, "already-done")
    path = f"webhooks/{made['webhook']['id']}"
    changed = ok(api.post(f"{path}/rotate-secret"))
    shown = ok(api.get(path))
    told = str([shown, *walk(api, "webhooks"), *walk(api, "provisioning-log", 200)])

    assert made["secret"] != changed["secret"]
    assert made["secret"] not in told
    assert changed["secret"] not in told
    assert "127.0.0.1:9" not in str(walk(api, "provisioning-log", 200))
    # In the order of the table of kinds, whatever was sent.
    assert ["team.created", "card.paused"] == shown["types"]
    assert ("active", None, 0, 0) == (shown["state"], shown["reason"], shown["waiting"], shown["dead"])


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://example.com", "https://", "//example.com", "nonsense", "https://example.com:0/", "https://[::1"),
        *("https://user@example.com/", "https://user:secret@example.com/", "https://93.184.216.34/#part"),
        *("https://exa mple.com/", "https://exämple.com/", "https://example.com/\n", "https://example.com:99999/"),
        *("https://10.0.0.1/", "https://192.168.1.1/", "https://172.16.0.1/", "https://169.254.169.254/latest"),
        *("https://100.64.0.1/", "https://0.0.0.0/", "https://224.0.0.1/", "https://255.255.255.255/"),
        *("https://[fc00::1]/", "https://[fe80::1]/", "https://[ff02::1]/", "https://[::]/", "https://[fec0::1]/"),
        *("https://[::ffff:10.0.0.1]/", "https://[64:ff9b::a00:1]/", "https://[2002:a00:1::]/"),
        # As the resolver reads them: 10.0.0.1.
        *("https://167772161/", "https://0x0a000001/", "https://012.0.0.1/"),
        "https://no-such-name.invalid/",
    ],
)
def test_an_address_that_nothing_is_sent_to_is_refused(api: httpx.Client, url: str) -> None:
    """With the member that is at fault, when it is made and when it is changed; nothing is stored."""
    made = ok(api.post("webhooks", json={"url": NOBODY}), 201)["webhook"]

    assert ["/url"] == places(api.post("webhooks", json={"url": url}))
    assert ["/url"] == places(api.patch(f"webhooks/{made['id']}", json={"url": url}))
    assert [made] == walk(api, "webhooks")


def test_this_machine_is_only_for_development(server: Server, house: House, tmp_path: Path) -> None:
    """Where our own address is one of the internet, plain http and this machine are refused; the same of a test."""
    with serving(
        server.database_url, tmp_path, public_url="https://scim.example.com", secret_key="a key for tests"
    ) as public:
        headers = {"Authorization": f"Bearer {house.keys['admin']}"}
        with httpx.Client(base_url=f"{public.url}/api/v1", headers=headers, timeout=60) as there, house.client() as api:
            made = ok(api.post("webhooks", json={"url": NOBODY}), 201)["webhook"]
            tried = ok(there.post(f"webhooks/{made['id']}/test"))
            for url in (
                *("http://93.184.216.34/", "https://127.0.0.1/", "https://localhost/", "https://[::1]/"),
                *("https://a.localhost/", "https://[::ffff:127.0.0.1]/", "https://2130706433/", "https://127.1/"),
            ):
                assert ["/url"] == places(there.post("webhooks", json={"url": url}))
            taken = ok(there.post("webhooks", json={"url": "https://93.184.216.34/hooks"}), 201)

    assert (False, None, "private-host") == (tried["delivered"], tried["status"], tried["reason"])
    assert "https://93.184.216.34/hooks" == taken["webhook"]["url"]


def test_without_a_key_of_the_operator_there_are_none(server: Server, house: House, tmp_path: Path) -> None:
    """The server runs all the same; whoever adds one reads which setting is missing."""
    with serving(server.database_url, tmp_path) as bare:
        headers = {"Authorization": f"Bearer {house.keys['admin']}"}
        with httpx.Client(base_url=f"{bare.url}/api/v1", headers=headers, timeout=60) as there:
            answer = there.post("webhooks", json={"url": NOBODY})

            assert "SCIM_SERVER_SECRET_KEY" in refused(answer, 409, "not-possible")["detail"]
            assert [] == walk(there, "webhooks")


def test_what_is_changed_is_told(api: httpx.Client) -> None:
    """The same value is no change; what is left out stays."""
    made = ok(api.post("webhooks", json={"url": NOBODY, "types": ["team.created"]}), 201)["webhook"]
    path = f"webhooks/{made['id']}"
    same = ok(api.patch(path, json={"url": NOBODY, "types": ["team.created"], "active": True}))
    other = ok(api.patch(path, json={"types": [], "active": False}))
    entries = [entry for entry in walk(api, "provisioning-log", 50) if entry["action"] == "update"]

    assert made == same
    assert ([], "disabled", "by-hand", NOBODY) == (other["types"], other["state"], other["reason"], other["url"])
    assert [["types", "state"], []] == [entry["changed"] for entry in entries]
    assert ["/types/0"] == places(api.patch(path, json={"types": ["team.exploded"]}))
    assert ["/description"] == places(api.patch(path, json={"description": "two\nlines"}))


def test_there_are_not_many(api: httpx.Client) -> None:
    """Each is told of everything: twenty are enough."""
    for _ in range(20):
        ok(api.post("webhooks", json={"url": NOBODY}), 201)

    assert "20 webhooks" in refused(api.post("webhooks", json={"url": NOBODY}), 409, "not-possible")["detail"]
    assert 20 == len(walk(api, "webhooks", 7))


def test_deliveries_are_paged(house: House, api: httpx.Client) -> None:
    """The newest first, all or of one state; a place that is none is refused."""
    made = ok(api.post("webhooks", json={"url": NOBODY}), 201)["webhook"]
    path = f"webhooks/{made['id']}/deliveries"

    def job(connection: Connection) -> None:
        work = house.customer.work(connection)
        for _ in range(5):
            teams.create_manual(work, unique("Team"))
        outbox.flush(work)
        batch = deliveries.take(connection)
        while batch is not None and batch.webhook.id != made["id"]:
            batch = deliveries.take(connection)
        assert batch is not None
        receipts = {chain[0].event.position: Receipt(Trouble.STATUS, 500, 0.1) for chain in batch.chains}
        deliveries.record(connection, batch, receipts)

    in_core(house.database_url, lambda database: database.write(job))
    found = walk(api, path, 2)

    assert 5 == len(found)
    assert sorted([each["position"] for each in found], reverse=True) == [each["position"] for each in found]
    assert found == walk(api, path, 2, state="waiting")
    assert [] == walk(api, path, 2, state="dead")
    assert ["after"] == places(api.get(path, params={"after": "nowhere"}))
    assert ["state"] == places(api.get(path, params={"state": "lost"}))
    assert ["/since"] == places(api.post(f"webhooks/{made['id']}/replay", json={"since": "yesterday"}))
    assert clock.now() > found[0]["last_attempt_at"]
