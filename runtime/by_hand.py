"""What an operator does with a customer's directory by hand: `scim-server graph …`."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from app_core import clock, connections, entra_directory, graph_links, jobs, outbox, overviews, reconciliations, tenants
from app_core.db import Connection, Database, open_database
from app_core.graph_links import PULL
from app_core.ids import new_correlation_id
from app_core.jobs import Job
from app_core.ports import EntraGroups, require_entra
from app_core.reconciliations import GRACE_SECONDS, RECONCILE, Policy, Run, State
from app_core.tenants import Tenant
from app_core.work import Actor, Source, Work
from graph_fallback import pull, reconcile
from runtime import worker
from runtime.entra import Entra
from runtime.graph import opened
from runtime.settings import Settings

T = TypeVar("T")
Say = Callable[[str], None]
MOST_SHOWN = 1000
"""How many differences a command shows; the counts are of all."""


class ByHand:
    """One tenant's connection in the hands of an operator."""

    def __init__(self, database: Database, entra: Entra, tenant: Tenant) -> None:
        self.database = database
        self.entra = entra
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

    async def _read(self, act: Callable[[Work], T]) -> T:
        return await self.database.read(lambda connection: act(self._work(connection)))

    async def _directory(self) -> str:
        """Give the tenant's directory. Raises NotPossible where none is connected."""
        link = await self._read(graph_links.require_connected)
        assert link.entra_tenant_id is not None
        return link.entra_tenant_id

    async def connect(self, directory_id: str, *, shared: bool = False) -> dict[str, Any]:
        """Prove the directory by a token, and join it to the tenant; `shared` also where another tenant has it.

        Raises DirectoryTaken, and what a directory can refuse with.
        """
        proof = await self.entra.prove(directory_id)
        await self.write(lambda work: entra_directory.connect(work, proof, shared=shared))
        granted = sorted(proof.permissions)
        return {"entra_tenant_id": proof.directory_id, "status": "connected", "permissions": granted}

    async def disconnect(self) -> dict[str, Any]:
        """Pull no more."""
        await self.write(entra_directory.disconnect)
        return {"status": "disconnected"}

    async def groups(self, text: str, after: str | None) -> dict[str, Any]:
        """List the groups of the directory, and which of them are teams here."""
        found = await self.entra.groups(await self._directory(), text, after, 50)
        return {"items": await self._read(lambda work: _shown(work, found)), "next": found.next}

    async def add(self, object_id: str) -> dict[str, Any]:
        """Take a group of the directory over as a team, with its members (G3)."""
        group = await self.entra.group(await self._directory(), object_id)
        team = await self.write(lambda work: entra_directory.add_group(work, group))
        return {"group_id": team.group_id, "team_id": team.id, "name": team.name, "status": "Synced"}

    async def remove(self, object_id: str) -> dict[str, Any]:
        """Stop syncing a group and delete its team. Raises TeamHasLogins."""
        group_id = await self.write(lambda work: entra_directory.remove_group(work, object_id))
        return {"group_id": group_id, "status": "Not synced"}

    async def sync(self, say: Say) -> dict[str, Any]:
        """Pull now, and say how far it is until it is done."""
        job_id = (await self.write(entra_directory.sync_now)).id
        steps = {PULL: pull.Puller(self.database, self.entra.graph).step}
        while True:
            job = await self._job(job_id)
            if job is None or job.finished_at is not None:
                return _result(job)
            say(f"{job.phase or 'waiting'} ({job.done} seen)")
            mine = await self.database.write(lambda connection: jobs.lease(connection, self.tenant.id, job_id))
            if mine is None:
                await asyncio.sleep(1)
                continue
            await worker.carry_out(self.database, steps, mine)
            job = await self._job(job_id)
            if job is not None and job.state == "queued":
                # It failed and rests. Whoever waits here is told; a worker goes on when the rest is over.
                return {**_result(job), "state": "failed"}

    async def reconcile(self, say: Say, *, dry_run: bool = False, grace: float = GRACE_SECONDS) -> dict[str, Any]:
        """Hold the mirror against a complete listing of the directory, and repair what differs (G5)."""
        policy = Policy.REPORT if dry_run else Policy.REPAIR
        return await self._followed(say, lambda work: entra_directory.reconcile(work, policy, grace=grace))

    async def approve(self, say: Say, run_id: str) -> dict[str, Any]:
        """Carry out the removals of a held run, of those that are still true. Raises NotFound, NotPossible."""
        return await self._followed(say, lambda work: entra_directory.approve(work, run_id))

    async def _followed(self, say: Say, ask: Callable[[Work], Run]) -> dict[str, Any]:
        """Ask for a run and carry its job out, or wait for who does, and say how far it is."""
        run_id, job_id = await self.write(lambda work: _asked(work, ask(work)))
        steps = {RECONCILE: reconcile.Reconciler(self.database, self.entra.graph).step}
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
        return await self._read(lambda work: _run(work, run_id, error))

    async def _job(self, job_id: str) -> Job | None:
        return await self._read(lambda work: jobs.find(work, job_id))


def _asked(work: Work, run: Run) -> tuple[str, str]:
    job = reconciliations.job_of(work, run)
    assert job is not None
    return run.id, job.id


def _run(work: Work, run_id: str, error: str | None) -> dict[str, Any]:
    """Show a run: how it ended, what it compared, and what differs."""
    run = reconciliations.find(work, run_id)
    if run is None or run.state in (State.QUEUED, State.LISTING):
        return {"run_id": run_id, "state": "failed", "error": error or "Another run took its place.", "items": []}
    shown = [
        {**each.drift._asdict(), "outcome": each.outcome, "reason": each.reason}
        for each in reconciliations.findings(work, run_id, limit=MOST_SHOWN)
    ]
    facts = {name: value for name, value in run._asdict().items() if name not in ("id", "connection_id", "cutoff")}
    counts = reconciliations.counts(work, run_id)
    return {"run_id": run.id, **facts, "error": error or run.error, "outcomes": counts, "items": shown}


def _result(job: Job | None) -> dict[str, Any]:
    if job is None:
        return {"state": "done"}
    return {"state": job.state, "seen": job.done, "error": job.error}


def _shown(work: Work, found: EntraGroups) -> list[dict[str, Any]]:
    here = overviews.groups_by_object_id(work, [group.object_id for group in found.items])
    shown = []
    for group in found.items:
        group_id, team_id = here.get(group.object_id, (None, None))
        status = "Not synced" if team_id is None else "Synced"
        facts = {"group_id": group_id, "team_id": team_id, "status": status}
        shown.append({"object_id": group.object_id, "name": group.name, **facts})
    return shown


# Commands -----------------------------------------------------------------------------------------------------------

Act = Callable[[ByHand, argparse.Namespace, Say], Awaitable[dict[str, Any]]]
ACTIONS: dict[str, Act] = {
    "connect": lambda hand, given, say: hand.connect(given.entra_tenant_id, shared=given.shared),
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
        async with opened(settings) as entra:
            require_entra(entra)
            assert entra is not None
            tenant = await database.read(lambda connection: tenants.find(connection, options.tenant))
            return await ACTIONS[options.action](ByHand(database, entra, tenant), options, say)
    finally:
        await database.close()
