"""A pull taken step by step, so that something can happen in between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from sqlalchemy import bindparam, func, select

from app_core import directory, entra_directory, jobs, overviews, provisioning_log
from app_core.db import Statement
from app_core.errors import Stale
from app_core.jobs import Job
from app_core.resource import ENTERPRISE_USER, attributes_of
from app_core.work import Work
from graph_fallback.pull import Place, Puller
from runtime.by_hand import ByHand

MEMBERS = Statement(
    select(directory.U.c.user_name)
    .select_from(directory.M.join(directory.U, directory.U.c.id == directory.M.c.user_id))
    .where(directory.M.c.tenant_id == directory.tenant, directory.M.c.group_id == bindparam("group_id"))
)
COUNT_GROUPS = Statement(
    select(func.count()).select_from(directory.G).where(directory.G.c.tenant_id == directory.tenant)
)


def stepping(before: Callable[[str], None] = lambda stage: None, *, twice: bool = False) -> Callable[[ByHand], Any]:
    """Take a pull step by step and give the stages; `twice`: each step is lost after its commit, and taken again."""

    async def run(hand: ByHand) -> list[str]:
        job_id = (await hand.write(entra_directory.sync_now)).id
        puller = Puller(hand.database, hand.entra.graph)
        stages: list[str] = []
        job: Job | None = await hand.database.write(lambda it: jobs.lease(it, hand.tenant.id, job_id))
        while job is not None:
            stages.append(Place.of(job).stage)
            await asyncio.to_thread(before, stages[-1])
            for _ in range(1 + twice):
                # The last step ends the job, whose second time counts no more.
                with contextlib.suppress(Stale):
                    await puller.step(job)
            last = job
            job = await hand.database.read(lambda it, last=last: jobs.reload(it, last))  # type: ignore[misc]
        return stages

    return run


def group_members(work: Work, object_id: str) -> set[str] | None:
    """Give the names of the people in a mirrored group; None where the group is not here."""
    group_id = directory.group_by_object_id(work, object_id)
    if group_id is None:
        return None
    return {str(row[0]).partition("@")[0] for row in work.rows(MEMBERS, group_id=group_id)}


def team_of(work: Work, object_id: str) -> str | None:
    """Give the team that a group of the directory feeds."""
    return overviews.groups_by_object_id(work, [object_id]).get(object_id, ("", None))[1]


def managers(work: Work) -> dict[str, str | None]:
    """Give everybody's manager, by name."""
    rows = work.rows(
        Statement(
            select(directory.U.c.id, directory.U.c.user_name, directory.U.c.document).where(
                directory.U.c.tenant_id == directory.tenant
            )
        )
    )
    names = {str(row[0]): str(row[1]).partition("@")[0] for row in rows}
    found = {}
    for key, _, document in rows:
        enterprise = attributes_of(document).get(ENTERPRISE_USER, {})
        held = enterprise.get("manager", {}).get("value")
        found[names[str(key)]] = None if held is None else names.get(held, held)
    return found


def log(work: Work, **chosen: Any) -> list[dict[str, Any]]:
    """Read the provisioning log, newest first."""
    return provisioning_log.page(work, limit=1000, **chosen)
