"""The provisioning service: cycles of SCIM requests from a directory to a Tenant URL, as Entra makes them.

A job remembers what Entra remembers: the ids at the other end, up to where the journal is dealt with, which members it
has sent, what failed and when it is tried again. It never reads members, never clears attributes, never undoes what
the other end changed by itself: what it cannot know, it does not send.

    test         the credential check alone
    initial      forget all links, look at everybody
    restart      look at everybody again, keep the links; members are sent again, because nobody can see them
    incremental  look at what changed since the last cycle, and at failures that are due
    on_demand    a few users and groups now, always in the default style
"""

import asyncio
import base64
import functools
import ssl
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar
from urllib.parse import quote, quote_plus

import httpx
import orjson
from pydantic import BaseModel, ConfigDict, Field

from runtime.simulator import login, mapping
from runtime.simulator.cloud import Cloud, Tenant
from runtime.simulator.directory import Directory, Entry, Kind
from runtime.simulator.mapping import ExternalId, JsonObject, ManagerForm, Mapped, Style

HOUR = 3600.0
FIRST_RETRIES = (6 * HOUR, 12 * HOUR, 24 * HOUR)
"""After the first failure; then every 24 hours."""
GIVEN_UP_AFTER = 28 * 24 * HOUR
FLAG = Style.FLAG.value
MOST_MEMBERS_ON_DEMAND = 5
MOST_PUSHES = 500
"""Records of cycles that are kept."""
MEDIA_TYPE = "application/scim+json; charset=utf-8"

T = TypeVar("T")
Cycle = Literal["test", "initial", "restart", "incremental", "on_demand"]


class OAuth(BaseModel):
    """How the job gets a token by client credentials (RFC 6749 §4.4) or by assertion (RFC 7523)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token_endpoint: str
    client_id: str
    client_secret: str = ""
    scope: str = "scim"
    placement: Literal["header", "body", "both", "assertion"] = "header"
    appid: str = "b5ba7a93-4452-4522-aeb4-a2b5da870c16"
    """The application that an assertion speaks for."""


class Options(BaseModel):
    """How an administrator has set the enterprise application up, and how busy the service is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flag: bool = False
    """Whether `aadOptscim062020` is set; it can stand in the Tenant URL as well."""
    scope: Literal["all"] | list[str] = "all"
    """Everybody, or the assigned users and groups; people in assigned groups are in scope, nested ones are not."""
    external_id: ExternalId = "mailNickname"
    match_users: str = "userName"
    match_groups: Literal["displayName", "externalId"] = "displayName"
    empty_text: bool = False
    """Whether null is mapped to an empty text, so that clears are sent."""
    manager_form: ManagerForm = ManagerForm.STRING
    manager_in_create: bool = False
    reference_checks: bool = False
    """Whether a manager or member is asked for before it is sent, as older jobs do."""
    members_per_patch: int = Field(default=20, ge=1)
    one_member_an_operation: bool = False
    concurrency: int = Field(default=8, ge=1, le=200)
    timeout: float = Field(default=60.0, gt=0)
    retry_seconds: list[float] = list(FIRST_RETRIES)
    """When a failure is tried again, counted from the first one; the last one repeats."""
    oauth: OAuth | None = None
    keep_exchanges: int = Field(default=20_000, ge=0)
    """How many requests of a cycle are kept with their bodies; all are counted."""


@dataclass(slots=True)
class Link:
    """An object that is known at the other end."""

    target_id: str
    active: bool = True
    managed: bool = True
    """False once it is out of scope: what happens to it from then on is not told."""
    deleted: bool = False
    """Whether its soft deletion has been told."""
    manager: str | None = None
    """What the other end last said of its manager."""
    members: set[str] = field(default_factory=set)
    """Object ids of the members that have been sent."""


@dataclass(slots=True)
class Escrow:
    """Something that failed and will be tried again."""

    kind: Kind
    since: float
    tries: int
    due: float
    reason: str


@dataclass(slots=True)
class Job:
    """What the service keeps for one enterprise application."""

    id: str
    tenant: Tenant
    base: str
    token: str | None
    options: Options
    links: dict[str, Link] = field(default_factory=dict)
    escrows: dict[str, Escrow] = field(default_factory=dict)
    place: int | None = None
    """Up to where the journal is dealt with; None before the first cycle."""
    in_scope: set[str] = field(default_factory=set)
    quarantine: str | None = None
    access_token: str | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One cycle at a time."""


class Failed(Exception):
    """The other end did not do what it was asked; the text is what the administrator sees."""

    def __init__(self, status: int | None, reason: str, *, lost: bool = False) -> None:
        super().__init__(reason)
        self.status = status
        self.lost = lost
        """Whether the id that we knew is known no more: the object is looked up again in the next cycle."""


class Quarantined(Exception):
    """The cycle cannot go on: the credentials or the service itself are at fault."""


@dataclass(slots=True)
class Exchange:
    """One request and its answer. The token is not kept."""

    method: str
    path: str
    """With the query, as it was sent."""
    body: Any
    status: int | None
    answer: Any
    about: str


@dataclass(slots=True)
class Push:
    """One cycle: what was done, what was asked, what failed."""

    id: str
    job_id: str
    cycle: Cycle
    state: Literal["running", "done", "quarantined"] = "running"
    reason: str = ""
    requests: int = 0
    actions: list[JsonObject] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)

    def note(self, action: str, entry_id: str, name: str, status: str = "success", reason: str = "") -> None:
        """Write a line of the provisioning log."""
        line = {"action": action, "id": entry_id, "name": name, "status": status, "reason": reason}
        self.actions.append(line)

    def report(self, job: Job) -> JsonObject:
        """Sum the cycle up."""
        done = [line for line in self.actions if line["status"] == "success"]
        counts: dict[str, int] = {}
        for line in done:
            counts[line["action"]] = counts.get(line["action"], 0) + 1
        return {
            "id": self.id,
            "job": self.job_id,
            "cycle": self.cycle,
            "state": self.state,
            "reason": self.reason,
            "requests": self.requests,
            "done": counts,
            "failures": [line for line in self.actions if line["status"] == "failure"],
            "escrows": {
                entry_id: {"kind": escrow.kind.value, "tries": escrow.tries, "due": escrow.due, "reason": escrow.reason}
                for entry_id, escrow in job.escrows.items()
            },
            "links": len(job.links),
        }


class Service:
    """All jobs of the provisioning service."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.jobs: dict[str, Job] = {}
        self.pushes: dict[str, Push] = {}

    def job(self, job_id: str, tenant: Tenant, tenant_url: str, token: str | None, options: Options) -> Job:
        """Give the job of that name, set up as told; a new one when there is none or its URL is another."""
        url, _, query = tenant_url.partition("?")
        base = url.rstrip("/")
        if FLAG in query:
            options = options.model_copy(update={"flag": True})
        job = self.jobs.get(job_id)
        if job is None or job.base != base or job.tenant is not tenant:
            job = Job(job_id, tenant, base, token, options)
            self.jobs[job_id] = job
        if token != job.token or options.oauth != job.options.oauth:
            job.access_token = None
        job.token, job.options = token, options
        return job

    def begin(self, job: Job, cycle: Cycle) -> Push:
        """Open the record of a cycle."""
        push = Push(str(uuid.uuid4()), job.id, cycle)
        self.pushes[push.id] = push
        while len(self.pushes) > MOST_PUSHES:
            del self.pushes[next(iter(self.pushes))]
        return push

    async def run(self, job: Job, push: Push, subjects: Sequence[Entry] = ()) -> Push:
        """Carry a cycle out."""
        async with job.turn, _client(job) as client:
            try:
                await _Run(self.cloud, job, push, client).cycle(subjects)
                push.state, job.quarantine = "done", None
            except Quarantined as error:
                push.state, push.reason, job.quarantine = "quarantined", str(error), str(error)
        return push


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Give the certificates that are trusted; reading them takes longer than most cycles."""
    return httpx.create_ssl_context(trust_env=False)


def _client(job: Job) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=job.options.concurrency)
    timeout = httpx.Timeout(job.options.timeout, pool=None)
    client = httpx.AsyncClient(verify=_trusted(), timeout=timeout, limits=limits, trust_env=False)
    # Entra has been seen without one, and a firewall that wants one breaks the connection test.
    del client.headers["user-agent"]
    return client


class _Run:
    """One cycle while it runs."""

    def __init__(self, cloud: Cloud, job: Job, push: Push, client: httpx.AsyncClient) -> None:
        self.cloud = cloud
        self.job = job
        self.push = push
        self.directory = job.tenant.directory
        self.options = job.options
        # Provision on demand does not know the flag, so every endpoint gets both styles.
        flag = job.options.flag and push.cycle != "on_demand"
        self.style = Style.FLAG if flag else Style.DEFAULT
        self.line = _Line(cloud, job, push, client)
        self.met: list[Entry] = []
        """Users that the first pass found or made: their managers come in the second."""
        self.failed: set[str] = set()

    async def cycle(self, subjects: Sequence[Entry]) -> None:
        """Check the credentials, then users, then groups, then references: managers and members come last."""
        kind, job = self.push.cycle, self.job
        if kind in ("test", "initial", "on_demand") or job.place is None:
            await self.line.check()
        if kind == "test":
            return
        if kind == "on_demand":
            await self._on_demand(subjects)
            return
        if kind in ("initial", "restart"):
            _forget(job, links=kind == "initial")
        head, scope = len(self.directory.journal), self._scope()
        users, groups, listed = self._to_look_at(head, scope)
        await self._each(users, lambda key: self._export_user(key, in_scope=key in scope))
        await self._each(groups, lambda key: self._export_group(key, in_scope=key in scope))
        await self._each([user.id for user in self.met], self._export_manager)
        await self._each(listed, self._export_members)
        for key in {*users, *groups} - self.failed:
            job.escrows.pop(key, None)
        job.place, job.in_scope = head, scope

    async def _on_demand(self, subjects: Sequence[Entry]) -> None:
        users = [entry.id for entry in subjects if entry.kind is Kind.USER]
        groups = [entry.id for entry in subjects if entry.kind is Kind.GROUP]
        await self._each(users, lambda key: self._export_user(key, in_scope=True))
        await self._each(groups, lambda key: self._export_group(key, in_scope=True))
        await self._each([user.id for user in self.met], self._export_manager)
        await self._each(groups, self._export_some_members)

    def _scope(self) -> set[str]:
        """Say who is in scope: all, or the assigned ones and the direct members of assigned groups."""
        users, groups = self.directory.live[Kind.USER], self.directory.live[Kind.GROUP]
        if self.options.scope == "all":
            return {*users, *groups}
        assigned = {entry.id for entry in assigned_to(self.directory, self.options.scope)}
        direct = {member for key in assigned if key in groups for member in groups[key].members}
        return (assigned & {*users, *groups}) | (direct & users.keys())

    def _to_look_at(self, head: int, scope: set[str]) -> tuple[list[str], list[str], list[str]]:
        """Say which users, which groups and whose members this cycle deals with."""
        job, kind_of = self.job, self.directory.kind_of
        if job.place is None:
            known = [key for key in job.links if key not in scope]
            everybody = [*(key for key in self.directory.entries if key in scope), *known]
            groups = [key for key in everybody if kind_of(key) is Kind.GROUP]
            return [key for key in everybody if kind_of(key) is Kind.USER], groups, groups
        now = self.cloud.clock.seconds()
        due = [key for key, escrow in job.escrows.items() if escrow.due <= now]
        moved = sorted(scope ^ job.in_scope)
        touched = {kind: self.directory.touched(kind, job.place, head) for kind in (Kind.USER, Kind.GROUP)}
        users, groups = (
            list(dict.fromkeys([*touched[kind], *(key for key in (*moved, *due) if kind_of(key) is kind)]))
            for kind in (Kind.USER, Kind.GROUP)
        )
        # Members are looked at where the list itself changed: who is in it already and comes into scope later is not
        # added until the job is restarted, a known limit of Entra.
        listed = {key for key, each in touched[Kind.GROUP].items() if each.members or each.whole}.union(moved, due)
        return users, groups, [key for key in groups if key in listed]

    # ── Users ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _export_user(self, key: str, *, in_scope: bool) -> None:
        """Bring one user up to date at the other end."""
        user, link = self.directory.entries.get(key), self.job.links.get(key)
        if user is None:
            await self._purge_user(key, link)
            return
        active = in_scope and user.live and user.properties.get("accountEnabled") is not False
        if link is None:
            # Who is disabled at the source is never created.
            if active:
                await self._match_or_create(user)
            return
        left_already = not in_scope and not link.active and (user.live or not link.managed)
        if not left_already:
            await self._update_user(user, link, active=active)
            link.deleted = not user.live
        link.managed = in_scope or (not user.live and link.managed)

    async def _purge_user(self, key: str, link: Link | None) -> None:
        """Delete who is gone for good, unless their deletion was not told before, or they had left the scope."""
        if link is None:
            return
        if link.managed and link.deleted:
            await self.line.ask("DELETE", f"Users/{link.target_id}", key, gone_is_fine=True)
            self.push.note("delete", key, key)
        del self.job.links[key]
        for other in self.job.links.values():
            other.members.discard(key)

    async def _match_or_create(self, user: Entry) -> None:
        mapped = self._mapped(user, active=True)
        found = await self._look_up(user)
        if found is not None:
            self._meet(user, found)
            await self._patch_user(user, mapped, found)
            return
        manager = self.job.links.get(user.manager_id or "") if self.options.manager_in_create else None
        body = mapping.user_body(mapped, None if manager is None else manager.target_id)
        self._meet(user, await self.line.create("Users", body, user.id))
        self.push.note("create", user.id, user.name)

    async def _update_user(self, user: Entry, link: Link, *, active: bool) -> None:
        if active and not link.active:
            # Somebody comes back: Entra looks the name up first, and finds nobody under it while the tombstone stands.
            await self._look_up(user)
        resource = await self.line.read(f"Users/{link.target_id}", user.id)
        mapped = self._mapped(user, active=active)
        if not active:
            # Who leaves is switched off, and carries the name that the directory gave them; nothing else is told.
            mapped = {path: value for path, value in mapped.items() if path in ("userName", "active")}
        link.manager = manager_in(resource)
        await self._patch_user(user, mapped, resource)
        link.active = active
        if active:
            self.met.append(user)

    async def _patch_user(self, user: Entry, mapped: Mapped, resource: JsonObject) -> None:
        found = mapping.differences(mapped, resource)
        if not found:
            return
        operations = mapping.operations_for(found, self.style)
        await self.line.ask("PATCH", f"Users/{self.job.links[user.id].target_id}", user.id, mapping.patch(operations))
        disabled = any(each.path == "active" and each.value is False for each in found)
        self.push.note("disable" if disabled else "update", user.id, user.name)

    async def _export_manager(self, key: str) -> None:
        """Send the manager, once they are known at the other end themselves; that somebody has none is never sent."""
        user, link = self.directory.live[Kind.USER].get(key), self.job.links.get(key)
        manager = None if user is None else self.job.links.get(user.manager_id or "")
        if user is None or link is None or manager is None or link.manager == manager.target_id:
            return
        if self.options.reference_checks:
            there = f'id eq "{link.target_id}" and manager eq "{manager.target_id}"'
            if await self.line.find(f"Users?filter={quote_plus(there)}&attributes=id", key) is not None:
                return
        form, absent = self.options.manager_form, link.manager is None
        operation = mapping.manager_operation(manager.target_id, self.style, form, self.job.base, absent=absent)
        await self.line.ask("PATCH", f"Users/{link.target_id}", key, mapping.patch([operation]))
        link.manager = manager.target_id
        self.push.note("manager", key, user.name)

    async def _look_up(self, user: Entry) -> JsonObject | None:
        """Ask for a user by the matching attribute."""
        name = self.options.match_users
        value = self._mapped(user, active=True).get(name)
        if value is None:
            raise Failed(None, f"The matching attribute {name} has no value.")
        return await self.line.find(f"Users?filter={quote_plus(equal(name, str(value)))}", user.id)

    def _mapped(self, user: Entry, *, active: bool) -> Mapped:
        options = self.options
        return mapping.mapped_user(user, active=active, external_id=options.external_id, empty_text=options.empty_text)

    def _meet(self, user: Entry, resource: JsonObject) -> None:
        self.job.links[user.id] = Link(str(resource["id"]), manager=manager_in(resource))
        self.met.append(user)

    # ── Groups ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _export_group(self, key: str, *, in_scope: bool) -> None:
        """Bring one group up to date at the other end, or delete it there: groups cannot be switched off."""
        group, link = self.directory.entries.get(key), self.job.links.get(key)
        if group is None or not group.live or not in_scope:
            if link is not None:
                await self.line.ask("DELETE", f"Groups/{link.target_id}", key, gone_is_fine=True)
                del self.job.links[key]
                self.push.note("delete", key, key if group is None else group.name)
            return
        mapped = mapping.mapped_group(group)
        found = await self._found_group(group, link, mapped)
        different = mapping.differences(mapped, found)
        if different:
            operations = mapping.operations_for(different, self.style)
            await self.line.ask("PATCH", f"Groups/{found['id']}", key, mapping.patch(operations))
            self.push.note("update", key, group.name)

    async def _found_group(self, group: Entry, link: Link | None, mapped: Mapped) -> JsonObject:
        """Read a known group, match an unknown one, or create it."""
        if link is not None:
            return await self.line.read(f"Groups/{link.target_id}?excludedAttributes=members", group.id)
        wanted = equal(self.options.match_groups, str(mapped[self.options.match_groups]))
        found = await self.line.find(f"Groups?excludedAttributes=members&filter={quote_plus(wanted)}", group.id)
        if found is None:
            found = await self.line.create("Groups", mapping.group_body(mapped, self.style), group.id)
            self.push.note("create", group.id, group.name)
        self.job.links[group.id] = Link(str(found["id"]))
        return found

    async def _export_members(self, key: str) -> None:
        """Send who came and who left, as far as they are known at the other end."""
        group, link = self.directory.live[Kind.GROUP].get(key), self.job.links.get(key)
        if group is None or link is None:
            return
        links = self.job.links
        came = [each for each in group.members if each in links and each not in link.members]
        left = [each for each in link.members if each in links and each not in group.members]
        await self._send_members(group, "add", [each for each in came if self.directory.kind_of(each) is Kind.USER])
        await self._send_members(group, "remove", sorted(left))
        waiting = [each for each in group.members if each not in links and each in self.job.escrows]
        if waiting:
            raise Failed(None, f"{len(waiting)} members could not be created yet.")

    async def _export_some_members(self, key: str) -> None:
        """Send a few members, as provision on demand does."""
        group = self.directory.live[Kind.GROUP].get(key)
        if group is not None and key in self.job.links:
            known = [each for each in group.members if each in self.job.links]
            await self._send_members(group, "add", known[:MOST_MEMBERS_ON_DEMAND])

    async def _send_members(self, group: Entry, verb: Literal["add", "remove"], keys: Sequence[str]) -> None:
        size = self.options.members_per_patch
        parts = [keys[at : at + size] for at in range(0, len(keys), size)]

        async def send(part: Sequence[str]) -> None:
            await self._guarded(group.id, lambda: self._send_part(group, verb, part))

        # All parts at once: this is how hundreds of requests meet on one group.
        await self._at_once(parts, send)

    async def _send_part(self, group: Entry, verb: Literal["add", "remove"], keys: Sequence[str]) -> None:
        link = self.job.links[group.id]
        ids = [self.job.links[key].target_id for key in keys]
        if self.options.reference_checks:
            there = f'id eq "{link.target_id}" and members eq "{ids[0]}"'
            await self.line.find(f"Groups?filter={quote_plus(there)}&attributes=id", group.id)
        pieces = [[each] for each in ids] if self.options.one_member_an_operation else [ids]
        operations = [each for piece in pieces for each in mapping.member_operations(verb, piece, self.style)]
        await self.line.ask("PATCH", f"Groups/{link.target_id}", group.id, mapping.patch(operations))
        if verb == "add":
            link.members.update(keys)
        else:
            link.members.difference_update(keys)
        self.push.note(f"{verb} members", group.id, group.name)

    # ── Failures ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _each(self, keys: Iterable[str], export: Callable[[str], Awaitable[None]]) -> None:
        """Make one pass; what fails goes into escrow and does not end it."""

        async def one(key: str) -> None:
            await self._guarded(key, lambda: export(key))

        await self._at_once(keys, one)

    async def _at_once(self, items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
        """Work on as many items at once as the service does; a quarantine ends it for all."""
        waiting = iter(items)

        async def worker() -> None:
            for item in waiting:
                await work(item)

        workers = [asyncio.ensure_future(worker()) for _ in range(self.options.concurrency)]
        try:
            await asyncio.gather(*workers)
        finally:
            for each in workers:
                each.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _guarded(self, key: str, export: Callable[[], Awaitable[None]]) -> None:
        try:
            await export()
        except Failed as error:
            self._put_in_escrow(key, error)

    def _put_in_escrow(self, key: str, error: Failed) -> None:
        """Keep a failure for later: soon at first, then more and more rarely, after four weeks not any more."""
        entry = self.directory.entries.get(key)
        self.push.note("export", key, key if entry is None else entry.name, "failure", str(error))
        if error.lost:
            self.job.links.pop(key, None)
        if key in self.failed:
            return
        self.failed.add(key)
        now = self.cloud.clock.seconds()
        escrow = self.job.escrows.get(key) or Escrow(self.directory.kind_of(key), now, 0, now, "")
        escrow.tries += 1
        escrow.reason = str(error)
        delays = self.options.retry_seconds
        delay = delays[min(escrow.tries, len(delays)) - 1]
        beyond = max(0, escrow.tries - len(delays))
        escrow.due = now if error.lost else escrow.since + delay * (1 + beyond)
        self.job.escrows[key] = escrow
        if now - escrow.since > GIVEN_UP_AFTER:
            del self.job.escrows[key]


class _Line:
    """The connection to the other end: requests as Entra writes them, and what their answers mean."""

    def __init__(self, cloud: Cloud, job: Job, push: Push, client: httpx.AsyncClient) -> None:
        self.cloud = cloud
        self.job = job
        self.push = push
        self.client = client

    async def check(self) -> None:
        """Test the connection: look for a user and a group that cannot exist. Raises Quarantined."""
        nobody = str(uuid.uuid4())
        try:
            await self.find(f"Users?filter={quote_plus(equal(self.job.options.match_users, nobody))}", "check")
            filter_ = quote_plus(equal(self.job.options.match_groups, nobody))
            await self.find(f"Groups?excludedAttributes=members&filter={filter_}", "check")
        except Failed as error:
            raise Quarantined(f"CredentialValidationUnavailable: {error}") from None

    async def find(self, path: str, about: str) -> JsonObject | None:
        """Ask with a filter. Raises Failed when it is ambiguous, Quarantined when it is not answered as SCIM says."""
        try:
            answer = await self.ask("GET", path, about)
        except Failed as error:
            if error.status == 404:
                raise Quarantined("SCIM compliance issue: HTTP/404 was returned rather than 200.") from None
            raise
        resources = answer.get("Resources")
        if not isinstance(resources, list) or "totalResults" not in answer:
            raise Quarantined("SystemForCrossDomainIdentityManagementServiceIncompatible: no ListResponse.")
        if len(resources) > 1:
            raise Failed(200, f"More than one object matches {path}.")
        return resources[0] if resources else None

    async def create(self, collection: str, body: JsonObject, about: str) -> JsonObject:
        """Create a resource; the answer has to say its id."""
        made = await self.ask("POST", collection, about, body)
        if "id" not in made:
            raise Failed(201, "The service did not say the id of what it created.")
        return made

    async def read(self, path: str, about: str) -> JsonObject:
        """Read a known resource. Raises Failed, and says so when the id is known no more."""
        try:
            return await self.ask("GET", path, about)
        except Failed as error:
            raise Failed(error.status, str(error), lost=error.status == 404) from None

    async def ask(
        self, method: str, path: str, about: str, body: JsonObject | None = None, *, gone_is_fine: bool = False
    ) -> JsonObject:
        """Send a request and write it down; give the answer's body. Raises Failed, Quarantined."""
        exchange = Exchange(method, path, body, None, None, about)
        self.push.requests += 1
        if len(self.push.exchanges) < self.job.options.keep_exchanges:
            self.push.exchanges.append(exchange)
        headers = {"Authorization": f"Bearer {await self._token()}", "Accept": "application/scim+json"}
        content = None
        if body is not None:
            content = orjson.dumps(body)
            headers["Content-Type"] = MEDIA_TYPE
        try:
            response = await self.client.request(
                method, f"{self.job.base}/{path}", headers={**headers, "ADSCIMVersion": "5.0"}, content=content
            )
        except httpx.HTTPError as error:
            exchange.answer = f"{type(error).__name__}: {error}"
            raise Failed(None, f"An error occurred while sending the request: {type(error).__name__}.") from None
        exchange.status = response.status_code
        exchange.answer = _document(response)
        if response.status_code in (401, 403):
            self.job.access_token = None
            raise Quarantined(f"EncounteredQuarantineException: HTTP {response.status_code}: {response.text}")
        if response.is_success or (gone_is_fine and response.status_code == 404):
            return exchange.answer if isinstance(exchange.answer, dict) else {}
        raise Failed(response.status_code, f"HTTP {response.status_code}: {response.text}")

    async def _token(self) -> str:
        """Give the secret token, or what stands in for it."""
        if self.job.token:
            return self.job.token
        if self.job.access_token is None:
            oauth = self.job.options.oauth
            self.job.access_token = (
                login.provisioning_token(self.cloud, self.job.tenant) if oauth is None else await self._fetched(oauth)
            )
        return self.job.access_token

    async def _fetched(self, oauth: OAuth) -> str:
        """Get an access token from the other end. Raises Quarantined."""
        form = {"grant_type": "client_credentials", "scope": oauth.scope}
        headers = {}
        if oauth.placement in ("header", "both"):
            pair = f"{quote(oauth.client_id, safe='')}:{quote(oauth.client_secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        if oauth.placement in ("body", "both"):
            form |= {"client_id": oauth.client_id, "client_secret": oauth.client_secret}
        if oauth.placement == "assertion":
            assertion = login.federated_assertion(self.cloud, self.job.tenant, oauth.appid)
            form |= {
                "client_id": oauth.client_id,
                "client_assertion_type": login.JWT_BEARER,
                "client_assertion": assertion,
            }
        try:
            response = await self.client.post(oauth.token_endpoint, data=form, headers=headers)
            token = response.json()["access_token"] if response.is_success else None
        except (httpx.HTTPError, ValueError, KeyError):
            token = None
        if not isinstance(token, str):
            raise Quarantined("The token endpoint gave no access token.")
        return token


def assigned_to(directory: Directory, references: Iterable[str]) -> list[Entry]:
    """Find what is assigned to an application; what is gone for good is left out. Raises DirectoryError."""
    return [directory.any(reference) for reference in references if reference not in directory.graves]


def _forget(job: Job, *, links: bool) -> None:
    """Clear watermark and escrows, as a restart does; with the links as well when everything begins anew."""
    job.place = None
    job.escrows.clear()
    if links:
        job.links.clear()
    for link in job.links.values():
        link.members.clear()


def equal(name: str, value: str) -> str:
    """Write a comparison."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name} eq "{escaped}"'


def manager_in(resource: Mapping[str, Any]) -> str | None:
    """Read the manager that the other end knows. Raises Failed when it is not an object, which Entra cannot read."""
    manager = (resource.get(mapping.ENTERPRISE_USER) or {}).get("manager")
    if manager is None:
        return None
    if not isinstance(manager, dict):
        raise Failed(200, "We are not able to deserialize the resource received from your SCIM endpoint: manager.")
    return manager.get("value")


def _document(response: httpx.Response) -> Any:
    try:
        return orjson.loads(response.content) if response.content else None
    except ValueError:
        return response.text
