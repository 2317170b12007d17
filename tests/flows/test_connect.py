"""G1: from a consent link to a connected directory, against a simulated Entra on a real socket; and who may not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from app_core import clock, consents, entra_directory, graph_links, jobs, reconciliations
from app_core.consents import ConsentRefused
from app_core.db import Connection, Database, open_database
from app_core.errors import DirectoryTaken, DomainError, Invalid
from app_core.ports import DirectoryProof
from app_core.reconciliations import Policy, State
from app_core.work import Work
from graph_fallback import consent
from graph_fallback.tokens import MissingPermission, NotConsented
from runtime import settings
from runtime.entra import Entra as Directories
from tests.flows.test_pull import entra, graph_url
from tests.processes import Customer, command, in_core, new_customer
from tests.raw import sql
from tests.simulator import Entra, EntraTenant

__all__ = ["entra", "graph_url"]  # fixtures

T = TypeVar("T")
SESSION = "session:one"


@dataclass
class Tenant:
    """A tenant that is not connected, and a directory that has consented to nothing."""

    url: str
    entra: Entra
    there: EntraTenant
    customer: Customer

    def do(self, act: Callable[[Work], T]) -> T:
        """Do something in one transaction of this tenant."""
        return in_core(self.url, lambda database: database.write(lambda it: act(self.customer.work(it))))

    def ask(self, act: Callable[[Directories], Awaitable[T]]) -> T:
        """Ask Entra for something."""

        async def run() -> T:
            named = {f"SCIM_SERVER_{name.upper()}": value for name, value in self.entra.server_settings.items()}
            directories = Directories(settings.load(named), "http://127.0.0.1:1")
            try:
                return await act(directories)
            finally:
                await directories.close()

        return asyncio.run(run())

    def link(self, asker: str = SESSION, directory_id: str | None = None) -> str:
        """Make a consent link; it is for this directory, else the simulator would answer for another one."""
        state = self.do(lambda work: consents.ask(work, asker, directory_id))

        async def url(directories: Directories) -> str:
            return directories.consent_url(state, self.there.id)

        return self.ask(url)

    def visit(self, link: str) -> dict[str, str]:
        """Open the link as an administrator, who consents as the simulator is set; give what comes back."""
        answer = httpx.get(link, follow_redirects=False)
        assert 302 == answer.status_code, answer.text
        back = urlsplit(answer.headers["location"])
        assert "/console/connection/consented" == back.path
        return dict(parse_qsl(back.query))

    def come_back(self, query: dict[str, str], asker: str = SESSION, signed_in: str | None = None) -> None:
        """Do with what came back what the console does: look, ask Entra, connect."""
        self.do(lambda work: entra_directory.expect_return(work, query, asker))
        proof = self.ask(lambda directories: directories.proof_of_return(query))
        who = self.there.id if signed_in is None else signed_in
        self.do(lambda work: entra_directory.accept_return(work, query, asker, who, proof))

    def connect(self, directory_id: str | None = None, *, shared: bool = False) -> None:
        """Connect without asking Entra."""
        proof = DirectoryProof(directory_id or self.there.id, frozenset())
        self.do(lambda work: entra_directory.connect(work, proof, shared=shared))

    @property
    def state(self) -> tuple[str, str | None]:
        """How the connection stands."""
        link = self.do(graph_links.find)
        return link.status, link.entra_tenant_id


@pytest.fixture
def tenant(graph_url: str, entra: Entra) -> Tenant:
    entra.reset()
    return Tenant(graph_url, entra, entra.new_tenant(consented=False), new_customer(graph_url))


@pytest.fixture
def other(tenant: Tenant) -> Tenant:
    """Another tenant, which sets its eyes on the same directory."""
    return Tenant(tenant.url, tenant.entra, tenant.there, new_customer(tenant.url))


# From link to connection ----------------------------------------------------------------------------------------------


def test_consent_connects(tenant: Tenant) -> None:
    """Link, consent, proof; the first pull is asked for and takes the present slot."""
    began = clock.now()
    tenant.come_back(tenant.visit(tenant.link()))

    assert ("connected", tenant.there.id) == tenant.state
    link = tenant.do(graph_links.find)
    assert link.pull_slot is not None
    assert link.pull_slot >= graph_links.slot_of(began)
    assert link.connected_at is not None
    assert link.connected_at >= began
    assert tenant.do(lambda work: jobs.unfinished(work, graph_links.pull_slot(work))) is not None


def test_a_link_of_an_api_key_is_for_any_administrator(tenant: Tenant) -> None:
    """A key has no browser: whoever is signed in to the tenant's console returns for it."""
    tenant.come_back(tenant.visit(tenant.link(f"{consents.API_KEY}abc")), asker="session:any")

    assert "connected" == tenant.state[0]


def test_the_state_is_kept_as_a_hash(tenant: Tenant) -> None:
    """Whoever reads the database cannot return for anybody."""
    state = tenant.visit(tenant.link())["state"]

    rows = sql(tenant.url, "SELECT * FROM consent_request WHERE tenant_id = ?", tenant.customer.tenant_id)

    assert 1 == len(rows)
    assert state not in str(rows)


def refused(tenant: Tenant, kind: type[DomainError], word: str, *given: Any, **changes: Any) -> None:
    """Come back and be refused with a word; nothing is connected."""
    before = tenant.state
    with pytest.raises(kind, match=word):
        tenant.come_back(*given, **changes)
    assert before == tenant.state


def test_a_state_works_once(tenant: Tenant) -> None:
    """Whoever comes back twice is sent away, connected or not by now."""
    back = tenant.visit(tenant.link())
    tenant.come_back(back)
    tenant.do(entra_directory.disconnect)

    refused(tenant, ConsentRefused, "was used", back)


def test_two_who_come_back_at_once(tenant: Tenant) -> None:
    """Both were expected; one connects."""
    back = tenant.visit(tenant.link())
    proof = tenant.ask(lambda directories: directories.proof_of_return(back))

    def accept(connection: Connection) -> str:
        work = tenant.customer.work(connection)
        try:
            entra_directory.accept_return(work, back, SESSION, tenant.there.id, proof)
        except ConsentRefused as error:
            return error.code
        return "connected"

    async def run(database: Database) -> list[str]:
        return list(await asyncio.gather(*[database.write(accept) for _ in range(4)]))

    assert ["connected", *["consent-refused"] * 3] == sorted(in_core(tenant.url, run))


def test_only_who_asked_returns(tenant: Tenant, other: Tenant) -> None:
    """Another session, and any session of another tenant: a link that was passed on connects nothing."""
    back = tenant.visit(tenant.link())

    refused(tenant, ConsentRefused, "another sign-in", back, asker="session:two")
    refused(other, ConsentRefused, "did not begin", back)
    refused(other, ConsentRefused, "did not begin", tenant.visit(tenant.link(f"{consents.API_KEY}abc")))
    tenant.come_back(back)


@pytest.mark.parametrize("state", ["", "scimconsent_" + "x" * 43, "\N{SNOWMAN}"])
def test_a_made_up_state_is_nobodys(tenant: Tenant, state: str) -> None:
    """What we did not give out leads nowhere."""
    refused(tenant, ConsentRefused, "did not begin", {**tenant.visit(tenant.link()), "state": state})


def test_a_state_ends(tenant: Tenant) -> None:
    """After half an hour it is as good as none; the next link sweeps it away."""
    back = tenant.visit(tenant.link())
    ended = "UPDATE consent_request SET expires_at = ? WHERE tenant_id = ?"
    sql(tenant.url, ended, "2026-01-01T00:00:00.000Z", tenant.customer.tenant_id)

    refused(tenant, ConsentRefused, "expired", back)
    tenant.link()
    assert [(1,)] == [
        tuple(row)
        for row in sql(
            tenant.url, "SELECT count(*) FROM consent_request WHERE tenant_id = ?", tenant.customer.tenant_id
        )
    ]


def test_an_error_comes_first(tenant: Tenant) -> None:
    """Declined is told as such, whatever the state; and it can be tried again with the same link."""
    tenant.entra.do("settings", consent="deny")
    link = tenant.link()
    back = tenant.visit(link)
    assert "True" == back["admin_consent"]

    refused(tenant, NotConsented, "declined", back)
    refused(tenant, NotConsented, "declined", {**back, "state": "x"})
    tenant.entra.do("settings", consent="grant")
    tenant.come_back(tenant.visit(link))
    assert "connected" == tenant.state[0]


def test_the_query_proves_nothing(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that is only named gives us no token."""
    monkeypatch.setattr(consent, "SETTLING_SECONDS", 0.0)
    state = tenant.do(lambda work: consents.ask(work, SESSION))
    back = {"admin_consent": "True", "tenant": tenant.there.id, "state": state}

    refused(tenant, NotConsented, "consent", back)


def test_whoever_has_not_signed_in_there_connects_nothing(tenant: Tenant) -> None:
    """The directory consented to our application once, for whomever: that is no proof of the one who asks now."""
    tenant.visit(tenant.link())
    state = tenant.do(lambda work: consents.ask(work, SESSION))
    back = {"admin_consent": "True", "tenant": tenant.there.id, "state": state}

    refused(tenant, ConsentRefused, "signed in to another directory", back, signed_in=tenant.entra.tenant_id)
    refused(tenant, ConsentRefused, "signed in to another directory", back, signed_in="")
    tenant.come_back(back, signed_in=tenant.there.id.upper())


def test_a_link_for_one_directory_takes_no_other(tenant: Tenant) -> None:
    """Who opened it signed in to the wrong one."""
    back = tenant.visit(tenant.link(directory_id=tenant.entra.tenant_id.upper()))

    refused(tenant, ConsentRefused, "another directory than the one this link is for", back)
    with pytest.raises(Invalid):
        tenant.link(directory_id="contoso.com")


def test_a_missing_permission_is_named(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a consent connects nothing, and says which half."""
    monkeypatch.setattr(consent, "SETTLING_SECONDS", 0.0)
    back = tenant.visit(tenant.link())
    tenant.there.do("grant_consent", client_id=tenant.entra.client_id, permissions=["User.Read.All"])

    refused(tenant, MissingPermission, r"Group\.Read\.All", back)


# One directory, one customer ------------------------------------------------------------------------------------------


def test_a_directory_is_one_customers(tenant: Tenant, other: Tenant) -> None:
    """Whoever comes second is refused, without a word of the first; once that one lets go it is free."""
    tenant.connect()
    back = other.visit(other.link())

    with pytest.raises(DirectoryTaken) as taken:
        other.come_back(back)

    assert tenant.customer.tenant_id not in taken.value.sentence
    assert ("none", None) == other.state
    assert {} == taken.value.facts
    tenant.do(lambda work: graph_links.quarantine(work, "Refused."))
    with pytest.raises(DirectoryTaken):
        other.connect()
    tenant.do(entra_directory.disconnect)
    other.come_back(back)
    with pytest.raises(DirectoryTaken):
        tenant.connect()
    other.connect()


def test_two_customers_at_the_same_moment(tenant: Tenant, other: Tenant) -> None:
    """Neither sees the other; one gets it."""

    def connect(each: Tenant) -> Callable[[Connection], str]:
        def act(connection: Connection) -> str:
            try:
                entra_directory.connect(each.customer.work(connection), DirectoryProof(each.there.id, frozenset()))
            except DirectoryTaken as error:
                return error.code
            return "connected"

        return act

    async def run() -> list[str]:
        one, two = await open_database(tenant.url), await open_database(tenant.url)
        try:
            return list(await asyncio.gather(one.write(connect(tenant)), two.write(connect(other))))
        finally:
            await one.close()
            await two.close()

    assert ["connected", "directory-taken"] == sorted(asyncio.run(run()))


def test_the_index_alone_would_refuse(tenant: Tenant, other: Tenant) -> None:
    """What a look overlooks, since the other has not committed yet, the database refuses."""
    tenant.connect()
    moved = "UPDATE directory_connection SET entra_tenant_id = ?, status = 'connected' WHERE tenant_id = ?"

    with pytest.raises(Exception, match=r"(?i)unique"):
        sql(tenant.url, moved, tenant.there.id, other.customer.tenant_id)


def test_an_operator_may_let_two_share(tenant: Tenant, other: Tenant) -> None:
    """By hand and by name of the flag; nobody else comes in by that."""
    tenant.connect()
    tenant.visit(tenant.link())
    words = ["graph", "connect", other.customer.tenant_id, "--entra-tenant-id", tenant.there.id, "--json"]
    known = tenant.entra.server_settings

    refusal = command(tenant.url, *words, **known)
    shared = command(tenant.url, *words, "--shared", **known)

    assert 1 == refusal.returncode
    assert "connected elsewhere" in refusal.stderr
    assert 0 == shared.returncode, shared.stderr
    assert tenant.state == other.state == ("connected", tenant.there.id)
    third = Tenant(tenant.url, tenant.entra, tenant.there, new_customer(tenant.url))
    tenant.do(entra_directory.disconnect)
    with pytest.raises(DirectoryTaken):
        third.connect()


# Letting go -----------------------------------------------------------------------------------------------------------


def test_what_ends_late_takes_nothing_up(tenant: Tenant) -> None:
    """A pull that is still under way neither connects again nor puts in quarantine what was disconnected."""
    tenant.connect()
    job = tenant.do(entra_directory.sync_now)
    run = tenant.do(lambda work: entra_directory.reconcile(work, Policy.REPORT))

    assert tenant.do(entra_directory.disconnect)
    assert not tenant.do(entra_directory.disconnect)

    tenant.do(graph_links.pulled)
    tenant.do(lambda work: graph_links.quarantine(work, "Refused."))
    assert "disconnected" == tenant.state[0]
    ended = tenant.do(lambda work: jobs.find(work, job.id))
    assert ended is not None
    assert ("failed", "The directory was disconnected.") == (ended.state, ended.error)
    assert (State.FAILED, None) == tenant.do(lambda work: _standing(work, run.id))


def _standing(work: Work, run_id: str) -> tuple[str, Any]:
    run = reconciliations.require(work, run_id)
    return run.state, reconciliations.job_of(work, run)


def hold(tenant: Tenant) -> str:
    """Have a run hold removals."""

    def act(work: Work) -> str:
        run = reconciliations.ask(work)
        reconciliations.end(work, run.id, State.HELD, {"removals": 12})
        return run.id

    return tenant.do(act)


def test_what_is_held_is_of_its_directory(tenant: Tenant) -> None:
    """Removals held about one directory are not asked of another, which has nobody of them; nor of none."""
    tenant.connect()
    held = hold(tenant)

    tenant.connect()
    assert State.HELD == tenant.do(lambda work: reconciliations.require(work, held)).state
    tenant.do(entra_directory.disconnect)
    with pytest.raises(DomainError, match="not connected"):
        tenant.do(lambda work: entra_directory.approve(work, held))
    tenant.connect(tenant.entra.new_tenant().id)
    assert State.FAILED == tenant.do(lambda work: reconciliations.require(work, held)).state


def test_asking_again_takes_the_place_of_what_is_under_way(tenant: Tenant) -> None:
    """One run of a policy at a time: the older says what became of it, and a worker that has it writes nothing more."""
    tenant.connect()
    first = tenant.do(lambda work: entra_directory.reconcile(work, Policy.REPAIR))
    tenant.do(lambda work: reconciliations.begin(work, first.id, work.now))

    second = tenant.do(lambda work: entra_directory.reconcile(work, Policy.REPAIR))

    assert (State.QUEUED, "repair") == (second.state, second.policy)
    standing, job = tenant.do(lambda work: _standing(work, first.id))
    assert (State.FAILED, None) == (standing, job)
    assert tenant.do(lambda work: _standing(work, second.id))[1] is not None
    with pytest.raises(DomainError, match="not to be carried out"):
        tenant.do(lambda work: reconciliations.begin(work, first.id, work.now))
