"""Settings → Webhooks: added, tried, changed, paused, sent again and deleted; who fails is on the overview.

The server of these tests sends nothing by itself, so what has not been taken is put in place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from app_core import clock, deliveries, outbox, teams, webhooks
from app_core.db import Connection
from app_core.ports import Address, Receipt, Trouble
from app_core.sealing import Sealer
from app_core.work import Actor, Source, Work
from tests.answers import unique
from tests.api import Company, MakeCompany
from tests.conftest import Server
from tests.console import Browser, administrator, said, values, where
from tests.processes import in_core
from tests.raw import sql
from tests.webhooks import receiving

WEBHOOKS = "/console/settings/webhooks"
NOBODY = "http://127.0.0.1:9/hooks"
T = TypeVar("T")


def written(server: Server, company: Company, act: Callable[[Work], T]) -> T:
    """Do something in the core for a tenant."""

    def job(connection: Connection) -> T:
        work = Work(connection, company.tenant_id, "", Actor(Source.SYSTEM, "test"), "test", clock.now())
        value = act(work)
        outbox.flush(work)
        return value

    return in_core(server.database_url, lambda database: database.write(job))


def a_webhook(server: Server, company: Company, description: str, *troubles: Trouble | None) -> str:
    """Make a webhook, and let events about a subject each end so."""

    def act(work: Work) -> str:
        made, _ = webhooks.create(work, Sealer(["a key for tests"]), Address(NOBODY), description=description)
        for _ in troubles:
            teams.create_manual(work, unique("Team"))
        return made.id

    webhook_id = written(server, company, act)

    def deliver(connection: Connection) -> None:
        batch = deliveries.take(connection)
        while batch is not None and batch.webhook.id != webhook_id:
            batch = deliveries.take(connection)
        assert batch is not None
        ends = zip([chain[0].event.position for chain in batch.chains], troubles, strict=True)
        deliveries.record(connection, batch, {at: Receipt(end, 503 if end else 204, 0.1) for at, end in ends})

    if troubles:
        in_core(server.database_url, lambda database: database.write(deliver))
    return webhook_id


def test_a_webhook_is_added_with_its_secret_shown_once(company: Company, admin: Browser) -> None:
    """It is listed from then on, and never shows the secret again; a test says what came back."""
    name = unique("CRM")
    with receiving() as receiver:
        admin.get(WEBHOOKS)
        made = admin.post(WEBHOOKS, 200, url=receiver.url, description=name, types=["team.created", "card.paused"])
        secret = values(made)["secret"]
        entry = company.log(action="create")[0]
        path = f"{WEBHOOKS}/{entry['target']['id']}"
        tried = admin.post(f"{path}/test", 200)
        receiver.answer = lambda event: (500, {})
        refused = admin.post(f"{path}/test", 200)
    listed, shown = admin.get(WEBHOOKS), admin.get(path)

    receiver.arrived[0].verify(secret)
    assert secret.startswith("whsec_")
    assert secret not in listed.text + shown.text
    assert name in said(listed)
    assert "2 types" in said(listed)
    assert "The test was taken. The receiver answered 204" in said(tried)
    assert "The test was not taken. The receiver answered 500" in said(refused)
    assert ["team.created", "card.paused"] == company.get(f"webhooks/{entry['target']['id']}")["types"]
    assert ("Webhook", "success") == (entry["target"]["type"], entry["outcome"])


def test_a_refused_address_keeps_what_was_typed(company: Company, admin: Browser) -> None:
    """A private host is refused with a sentence, in the form, and in the log without the address."""
    number = len(company.all("webhooks"))
    admin.get(WEBHOOKS)

    refused = admin.post(WEBHOOKS, 400, url="https://10.0.0.1/token-a1b2", description="Typed", types=["card.paused"])

    assert "Address: its host is in a private network" in said(refused)
    assert ("https://10.0.0.1/token-a1b2", "Typed") == (values(refused)["f-url"], values(refused)["f-description"])
    assert 'value="card.paused" checked' in refused.text
    assert number == len(company.all("webhooks"))
    entry = company.log(action="create", outcome="failure")[0]
    assert "invalid" == entry["reason_code"]
    assert "token-a1b2" not in str(entry)


def test_a_webhook_is_changed_paused_resumed_and_deleted(server: Server, company: Company, admin: Browser) -> None:
    """Each says what it did, and the log has it."""
    webhook_id = a_webhook(server, company, unique("Before"))
    path = f"{WEBHOOKS}/{webhook_id}"
    name = unique("After")
    admin.get(path)
    saved = admin.send(path, url="http://127.0.0.1:10/hooks", description=name)
    again = admin.send(path, url="http://127.0.0.1:10/hooks", description=name)
    paused = admin.send(f"{path}/pause")
    state = company.get(f"webhooks/{webhook_id}")
    resumed = admin.send(f"{path}/resume")
    rotated = admin.post(f"{path}/rotate-secret", 200)
    gone = admin.send(f"{path}/delete")

    assert ("It is saved." in saved, name in saved, "Nothing was changed." in again) == (True, True, True)
    assert "It is paused." in paused
    assert ("disabled", "by-hand") == (state["state"], state["reason"])
    assert "It is active." in resumed
    assert values(rotated)["secret"].startswith("whsec_")
    assert "is deleted" in gone
    assert name not in said(admin.get(WEBHOOKS))
    actions = [entry["action"] for entry in company.log(webhook_id)]
    assert ["delete", "rotate secret", "update", "update", "update", "update"] == actions
    admin.get(path, 404)


def test_what_was_not_taken_is_listed_and_sent_again(server: Server, make_company: MakeCompany) -> None:
    """The overview names the webhook, the page each event with what came back; all that is dead goes again."""
    company, name = make_company(), unique("CRM")
    webhook_id = a_webhook(server, company, name, Trouble.STATUS, Trouble.TIMEOUT)
    path = f"{WEBHOOKS}/{webhook_id}"
    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        failing, page = admin.get("/console"), admin.get(path)
        listed = admin.get(WEBHOOKS)
        first, second = company.all(f"webhooks/{webhook_id}/deliveries")
        again = admin.send(f"{path}/deliveries/{first['event_id']}/replay")
        sql(server.database_url, "UPDATE webhook_delivery SET state = 'dead' WHERE webhook_id = ?", webhook_id)
        sql(server.database_url, "UPDATE webhook SET failing_since = NULL WHERE id = ?", webhook_id)
        dead, of_state = admin.get("/console"), admin.get(path, state="dead")
        none = admin.get(path, state="waiting")
        all_again = admin.send(f"{path}/replay")
        admin.post(f"{path}/deliveries/nothing/replay", 404)
        admin.get(path, 400, state="neither")

    assert f"The webhook “{name}” takes nothing" in said(failing)
    assert f'href="{path}"' in failing.text
    assert "failing" in said(listed)
    assert "Nothing has been taken since" in said(page)
    assert "tried again" in said(page)
    assert {first["type"], second["type"]} == {"team.created"}
    assert "It is sent again now." in again
    assert f"The webhook “{name}” has not taken all" in said(dead)
    assert "2 events were given up" in said(dead)
    assert "given up" in said(of_state)
    assert "No event is in this state." in said(none)
    assert "2 events are on their way again." in all_again


def test_who_is_gone_is_on_the_overview_until_resumed(server: Server, make_company: MakeCompany) -> None:
    """A receiver that answered 410 is said to be disabled."""
    company, name = make_company(), unique("Old")
    webhook_id = a_webhook(server, company, name, Trouble.GONE)
    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        gone, page = admin.get("/console"), admin.get(f"{WEBHOOKS}/{webhook_id}")
        admin.send(f"{WEBHOOKS}/{webhook_id}/resume")
        back = company.get(f"webhooks/{webhook_id}")

    assert f"The webhook “{name}” is disabled" in said(gone)
    assert "The receiver answered 410" in said(page)
    assert ("active", None) == (back["state"], back["reason"])


@pytest.mark.parametrize("act", ["", "/pause", "/resume", "/delete", "/rotate-secret", "/test", "/replay"])
def test_another_tenants_webhook_is_not_there(
    server: Server, make_company: MakeCompany, admin: Browser, act: str
) -> None:
    """Nor does anything of it change."""
    company = make_company()
    webhook_id = a_webhook(server, company, "theirs")
    before = company.get(f"webhooks/{webhook_id}")
    admin.get(WEBHOOKS)
    sent: dict[str, Any] = {} if act else {"url": NOBODY, "description": "ours"}

    admin.post(f"{WEBHOOKS}/{webhook_id}{act}", 404, **sent)
    admin.get(f"{WEBHOOKS}/{webhook_id}", 404)

    assert before == company.get(f"webhooks/{webhook_id}")


def test_who_is_not_signed_in_sees_none(visitor: Browser) -> None:
    """Every page leads to the sign-in."""
    assert "/console/sign-in" in where(visitor.get(WEBHOOKS, 303))
