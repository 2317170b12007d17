"""Microsoft Graph from the settings, and what an operator does with it by hand: `scim-server graph …`."""

import argparse
import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from typing import Any, TypeVar

from app_core import clock, connections, deletion, directory, graph_links, jobs, outbox, reconciliations, teams, tenants
from app_core.administration import sync_group
from app_core.db import Connection, Database, open_database
from app_core.errors import Invalid, NotFound
from app_core.ids import new_correlation_id
from app_core.jobs import Job
from app_core.reconciliations import Policy
from app_core.tenants import Tenant
from app_core.work import Actor, Source, Work
from graph_fallback import apply, consent, pages, payloads, pull, reconcile, search
from graph_fallback.client import Graph, GraphClient, new_http
from graph_fallback.tokens import ClientCertificate, ClientSecret, EntraTokens
from runtime import worker
from runtime.settings import Settings

T = TypeVar("T")
Say = Callable[[str], None]
MOST_SHOWN = 1000
"""How many differences a command shows; the counts are of all."""


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Graph | None]:
    """Give Graph as the settings say, as long as this is open; None where no application is named."""
    credential = _credential(settings)
    if settings.entra_client_id is None or credential is None:
        yield None
        return
    tokens = EntraTokens(
        settings.entra_client_id, credential, login_url=settings.login_url, graph_url=settings.graph_url
    )
    with closing(tokens):
        async with new_http() as http:
            yield Graph(http, tokens, settings.graph_url)


def _credential(settings: Settings) -> ClientSecret | ClientCertificate | None:
    if settings.entra_client_certificate is not None:
        return ClientCertificate(settings.entra_client_certificate.get_secret_value())
    if settings.entra_client_secret is not None:
        return ClientSecret(settings.entra_client_secret.get_secret_value())
    return None


class ByHand:
    """One tenant's connection in the hands of an operator."""

    def __init__(self, database: Database, graph: Graph, tenant: Tenant) -> None:
        self.database = database
        self.graph = graph
        self.tenant = tenant

    async def write(self, act: Callable[[Work], T]) -> T:
        """Do something in one transaction."""

        def job(connection: Connection) -> T:
            work = self._work(connection)
            value = act(work)
            outbox.flush(work)
            return value

        return await self.database.write(job)

    def _work(self, connection: Connection) -> Work:
        connection_id = connections.first_of(connection, self.tenant)
        actor = Actor(Source.ADMIN, "cli")
        return Work(connection, self.tenant.id, connection_id, actor, new_correlation_id(), clock.now())

    async def client(self) -> GraphClient:
        """Give the client of the tenant's directory. Raises NotPossible where it is not connected."""
        link = await self.database.read(lambda connection: graph_links.require_connected(self._work(connection)))
        assert link.entra_tenant_id is not None
        return self.graph.directory(link.entra_tenant_id, background=False)

    async def connect(self, directory_id: str) -> dict[str, Any]:
        """Prove the directory by a token, and join it to the tenant. Raises GraphRefused."""
        proof = await consent.prove_tenant(self.graph.tokens, directory_id)
        consent.require_permissions(proof)
        await self.write(lambda work: graph_links.connect(work, proof.directory_id))
        return {"entra_tenant_id": proof.directory_id, "status": "connected", "permissions": sorted(proof.roles)}

    async def disconnect(self) -> dict[str, Any]:
        """Pull no more."""
        await self.write(graph_links.disconnect)
        return {"status": "disconnected"}

    async def groups(self, text: str, after: str | None) -> dict[str, Any]:
        """List the groups of the directory, and which of them are teams here."""
        found = await search.groups(await self.client(), text, after=after, limit=50)
        shown = await self.write(lambda work: [_shown(work, group) for group in found.items])
        return {"items": shown, "next": found.next}

    async def add(self, object_id: str) -> dict[str, Any]:
        """Take a group of the directory over as a team, with its members (G3)."""
        client = await self.client()
        group = await search.group(client, object_id)
        if group is None:
            raise NotFound("Group in Entra", object_id)
        members = [member async for member in _members(client, group.id)]

        def take(work: Work) -> dict[str, Any]:
            group_id = apply.add_group(work, group, members)
            team = sync_group(work, group_id)
            return {"group_id": group_id, "team_id": team.id, "name": team.name, "status": "Synced"}

        return await self.write(take)

    async def remove(self, object_id: str) -> dict[str, Any]:
        """Stop syncing a group and delete its team. Raises TeamHasLogins."""

        def take(work: Work) -> dict[str, Any]:
            group_id = directory.group_by_object_id(work, search.require_object_id(object_id))
            if group_id is None:
                raise NotFound("Group", object_id)
            deletion.remove_group(work, group_id)
            return {"group_id": group_id, "status": "Not synced"}

        return await self.write(take)

    async def sync(self, say: Say) -> dict[str, Any]:
        """Pull now, and say how far it is until it is done."""
        await self.client()
        job_id = await self.write(_asked)
        steps = {pull.PULL: pull.Puller(self.database, self.graph).step}
        while True:
            job = await self.database.read(lambda connection: jobs.find(self._work(connection), job_id))
            if job is None or job.finished_at is not None:
                return _result(job)
            say(f"{job.phase or 'waiting'} ({job.done} seen)")
            mine = await self.database.write(lambda connection: jobs.lease(connection, self.tenant.id, job_id))
            if mine is not None:
                await worker.carry_out(self.database, steps, mine)
            else:
                await asyncio.sleep(1)

    async def reconcile(
        self, say: Say, *, dry_run: bool = False, grace: float = reconcile.GRACE_SECONDS
    ) -> dict[str, Any]:
        """Hold the mirror against a complete listing of the directory, and repair what differs (G5)."""
        await self.client()
        policy = Policy.REPORT if dry_run else Policy.REPAIR

        def ask(work: Work) -> tuple[str, str]:
            return reconcile.enqueue(work, policy, grace=grace), _job_in(work, reconcile.slot(work))

        run_id, job_id = await self.write(ask)
        return await self._followed(say, run_id, job_id)

    async def approve(self, say: Say, run_id: str) -> dict[str, Any]:
        """Carry out the removals of a held run, of those that are still true. Raises NotFound, NotPossible."""
        await self.client()

        def ask(work: Work) -> str:
            reconcile.approve(work, run_id)
            return _job_in(work, reconcile.approval_slot(run_id))

        return await self._followed(say, run_id, await self.write(ask))

    async def _followed(self, say: Say, run_id: str, job_id: str) -> dict[str, Any]:
        """Carry a reconcile job out, or wait for who does, and say how far it is."""
        steps = {reconcile.RECONCILE: reconcile.Reconciler(self.database, self.graph).step}
        while True:
            mine = await self.database.write(lambda connection: jobs.lease(connection, self.tenant.id, job_id))
            task = asyncio.create_task(
                asyncio.sleep(1) if mine is None else worker.carry_out(self.database, steps, mine)
            )
            while not (await asyncio.wait({task}, timeout=1))[0]:
                job = await self._job(job_id)
                say(f"{job.phase or 'waiting'} ({job.done})" if job is not None else "waiting")
            await task
            job = await self._job(job_id)
            if job is None or job.finished_at is not None or job.failures:
                return await self._result_of(run_id, None if job is None else job.error)

    async def _result_of(self, run_id: str, error: str | None) -> dict[str, Any]:
        return await self.database.read(lambda connection: _run(self._work(connection), run_id, error))

    async def _job(self, job_id: str) -> Job | None:
        return await self.database.read(lambda connection: jobs.find(self._work(connection), job_id))


def _job_in(work: Work, slot: str) -> str:
    job = jobs.unfinished(work, slot)
    assert job is not None
    return job.id


def _run(work: Work, run_id: str, error: str | None) -> dict[str, Any]:
    """Show a run: how it ended, what it compared, and what differs."""
    run = reconciliations.find(work, run_id)
    if run is None or run.state == reconciliations.State.LISTING:
        return {"run_id": run_id, "state": "failed", "error": error or "Another run took its place.", "items": []}
    shown = [
        {**each.drift._asdict(), "outcome": each.outcome, "reason": each.reason}
        for each in reconciliations.findings(work, run_id, limit=MOST_SHOWN)
    ]
    facts = {name: value for name, value in run._asdict().items() if name not in ("id", "connection_id", "cutoff")}
    counts = reconciliations.counts(work, run_id)
    return {"run_id": run.id, **facts, "error": error or run.error, "outcomes": counts, "items": shown}


def _asked(work: Work) -> str:
    pull.enqueue(work)
    return _job_in(work, pull.slot(work))


def _result(job: Job | None) -> dict[str, Any]:
    if job is None:
        return {"state": "done"}
    return {"state": job.state, "seen": job.done, "error": job.error}


def _shown(work: Work, group: payloads.GraphGroup) -> dict[str, Any]:
    group_id = directory.group_by_object_id(work, group.id)
    team = None if group_id is None else teams.lock_of_group(work, group_id)
    return {
        "object_id": group.id,
        "name": group.display_name or None,
        "group_id": group_id,
        "team_id": None if team is None else team.id,
        "status": "Not synced" if team is None else "Synced",
    }


async def _members(client: GraphClient, group_id: str) -> AsyncIterator[str]:
    async for page in pages.listed(client, pages.members_of(group_id)):
        for each in payloads.members_in(page.items).users.added:
            yield each


# Commands -----------------------------------------------------------------------------------------------------------

Act = Callable[[ByHand, argparse.Namespace, Say], Awaitable[dict[str, Any]]]
ACTIONS: dict[str, Act] = {
    "connect": lambda hand, given, say: hand.connect(given.entra_tenant_id),
    "disconnect": lambda hand, given, say: hand.disconnect(),
    "groups": lambda hand, given, say: hand.groups(given.search, given.after),
    "add": lambda hand, given, say: hand.add(given.object_id),
    "remove": lambda hand, given, say: hand.remove(given.object_id),
    "sync": lambda hand, given, say: hand.sync(say),
    "reconcile": lambda hand, given, say: hand.reconcile(say, dry_run=given.dry_run),
    "approve": lambda hand, given, say: hand.approve(say, given.run_id),
}


async def run(settings: Settings, options: argparse.Namespace, say: Say) -> dict[str, Any]:
    """Carry out `scim-server graph ACTION` and give what came of it. Raises DomainError."""
    database = await open_database(settings.database_url)
    try:
        async with opened(settings) as graph:
            if graph is None:
                raise Invalid(
                    "No application is named: set SCIM_SERVER_ENTRA_CLIENT_ID and _ENTRA_CLIENT_SECRET (or "
                    "_ENTRA_CLIENT_CERTIFICATE)."
                )
            tenant = await database.read(lambda connection: tenants.find(connection, options.tenant))
            return await ACTIONS[options.action](ByHand(database, graph, tenant), options, say)
    finally:
        await database.close()
