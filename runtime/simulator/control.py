"""The back door: verbs that change the directory, switch faults on, start cycles, and tell what has happened.

Each verb is a function; its keyword arguments are what `POST /control/{verb}` takes as a JSON object, checked by their
annotations. A script is a list of `{"do": verb, …}`, for `POST /control/script` and for `--script FILE`.

People are named by object id or userPrincipalName, groups by object id or a displayName that only one has, tenants by
id or domain; without `tenant` the first one is meant.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from inspect import isawaitable
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, validate_call

from runtime.simulator import company as makers
from runtime.simulator import login
from runtime.simulator.cloud import Cloud, Settings
from runtime.simulator.directory import Directory, DirectoryError, Entry, Kind
from runtime.simulator.faults import Fault, FaultKind
from runtime.simulator.pictures import drawn, uploaded
from runtime.simulator.scim_push import Cycle, Job, Options, Push, Service, assigned_to
from runtime.simulator.tokens import BadToken, Certificate

JsonObject = dict[str, Any]
Properties = dict[str, Any]
Count = Annotated[int, Field(ge=0)]


class Refused(Exception):
    """A command that cannot be carried out; the text says why."""


class Control:
    """All verbs, on one cloud. A public method is a verb."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.service = Service(cloud)
        self.script_state = "none"
        self._tasks: set[asyncio.Task[Push]] = set()

    async def do(self, verb: str, arguments: Mapping[str, Any]) -> JsonObject:
        """Carry a verb out. Raises Refused."""
        if verb not in VERBS:
            raise Refused(f"There is no {verb!r}. There are: {', '.join(sorted(VERBS))}.")
        try:
            answer = VERBS[verb](self, **arguments)
            result: JsonObject = await answer if isawaitable(answer) else answer
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            raise Refused(problems) from None
        except (DirectoryError, BadToken, ValueError) as error:
            raise Refused(str(error)) from None
        return result

    async def run_script(self, steps: list[JsonObject]) -> list[JsonObject]:
        """Carry out steps one after the other. Raises Refused, naming the step."""
        results = []
        for number, step in enumerate(steps, start=1):
            arguments = dict(step)
            try:
                results.append(await self.do(str(arguments.pop("do", "")), arguments))
            except Refused as error:
                raise Refused(f"Step {number}: {error}") from None
        return results

    def close(self) -> None:
        """Give up what still runs."""
        for task in self._tasks:
            task.cancel()

    # ── Tenants, applications, settings ──────────────────────────────────────────────────────────────────────────────

    def create_tenant(self, *, name: str, domain: str, id: str | None = None, consented: bool = True) -> JsonObject:
        """Make a tenant with an empty directory."""
        tenant = self.cloud.add_tenant(name, domain, id)
        if consented:
            for application in self.cloud.applications.values():
                self.cloud.consent(tenant, application)
        return {"id": tenant.id, "name": name, "domain": domain}

    def company(
        self, *, people: Count = 40, groups: Count = 6, seed: int = 0, oddities: bool = False, tenant: str = ""
    ) -> JsonObject:
        """Fill a directory with a plausible company."""
        directory = self._directory(tenant)
        makers.company(directory, people, groups, seed, oddities=oddities)
        return _sizes(directory)

    def large(
        self, *, people: Count = 100_000, groups: Count = 1000, memberships: Count = 500_000, tenant: str = ""
    ) -> JsonObject:
        """Fill a directory by numbers."""
        directory = self._directory(tenant)
        makers.large(directory, people, groups, memberships)
        return _sizes(directory)

    def churn(self, *, count: Count = 1, seed: int = 0, tenant: str = "") -> JsonObject:
        """Make random changes, the same again from the same seed and state."""
        return {"changes": makers.churn(self._directory(tenant), count, seed)}

    def register_application(
        self,
        *,
        client_id: str | None = None,
        name: str = "Application",
        secrets: tuple[str, ...] = (),
        permissions: tuple[str, ...] = (),
        certificates: tuple[str, ...] = (),
        redirect_uris: tuple[str, ...] = (),
    ) -> JsonObject:
        """Register an application, or set one anew: what it is known by, what it asks for, where answers may go."""
        known = self.cloud.applications.get(client_id or "")
        application = known or self.cloud.add_application(name, permissions, client_id)
        application.secrets = set(secrets) or application.secrets
        application.permissions = permissions or application.permissions
        application.certificates = [Certificate(pem) for pem in certificates] or application.certificates
        application.redirect_uris = list(redirect_uris) or application.redirect_uris
        return {"client_id": application.client_id}

    def grant_consent(self, *, client_id: str, permissions: list[str] | None = None, tenant: str = "") -> JsonObject:
        """Grant an application what it asks for, or just these permissions; tokens issued before keep theirs."""
        application = self.cloud.applications.get(client_id)
        if application is None:
            raise Refused(f"There is no application {client_id!r}.")
        owner = self.cloud.tenant(tenant)
        self.cloud.consent(owner, application, None if permissions is None else tuple(permissions))
        return {"permissions": list(owner.consents[client_id])}

    def revoke_consent(self, *, client_id: str, tenant: str = "") -> JsonObject:
        """Remove an application from a tenant."""
        self.cloud.tenant(tenant).consents.pop(client_id, None)
        return {}

    def settings(self, **changes: Any) -> JsonObject:
        """Change how the simulator behaves (`cloud.Settings`); give all settings."""
        return self.cloud.change_settings(**changes).model_dump()

    def reset_settings(self) -> JsonObject:
        """Take all settings back to how they were at the start."""
        return self.cloud.change_settings(**Settings().model_dump()).model_dump()

    def advance_clock(self, *, seconds: float) -> JsonObject:
        """Put the directory's time forward; access tokens do not notice."""
        self.cloud.clock.advance(seconds)
        return {"now": self.cloud.clock.now()}

    def expire_delta_tokens(self, *, rounds: bool = False) -> JsonObject:
        """Make all delta tokens too old; with `rounds` those in the middle of a round as well."""
        self.cloud.generation += 1
        if rounds:
            self.cloud.rounds.clear()
        return {}

    def rotate_keys(self, *, keep_old: bool = True) -> JsonObject:
        """Sign with a new key."""
        self.cloud.keys.rotate(keep_old=keep_old)
        return {}

    def mint_token(
        self,
        *,
        kind: Literal["provisioning", "federated"] = "provisioning",
        appid: str = "",
        claims: Properties | None = None,
        tenant: str = "",
    ) -> JsonObject:
        """Sign a token as the provisioning service sends it; claims replace what would stand in it."""
        owner = self.cloud.tenant(tenant)
        if kind == "provisioning":
            return {"token": login.provisioning_token(self.cloud, owner, **(claims or {}))}
        return {"token": login.federated_assertion(self.cloud, owner, appid, **(claims or {}))}

    # ── People ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def create_user(self, *, tenant: str = "", id: str | None = None, **properties: Any) -> JsonObject:
        """Create a user with Graph properties; `manager` names another user."""
        directory = self._directory(tenant)
        manager = properties.pop("manager", None)
        user = directory.create_user(properties, id)
        if manager is not None:
            directory.set_manager(user, directory.user(manager))
        return self._shown(directory, user)

    def change_user(self, *, user: str, tenant: str = "", **properties: Any) -> JsonObject:
        """Set properties, or clear them with null."""
        directory = self._directory(tenant)
        entry = directory.user(user)
        return {"changed": directory.change(entry, properties), **self._shown(directory, entry)}

    def rename_user(self, *, user: str, name: str, tenant: str = "") -> JsonObject:
        """Give a user another userPrincipalName and mail address."""
        return self.change_user(user=user, tenant=tenant, userPrincipalName=name, mail=name)

    def clear_attribute(self, *, user: str, name: str, tenant: str = "") -> JsonObject:
        """Clear one property."""
        return self.change_user(user=user, tenant=tenant, **{name: None})

    def set_manager(self, *, user: str, manager: str | None, tenant: str = "") -> JsonObject:
        """Give a user a manager, or none."""
        directory = self._directory(tenant)
        entry = directory.user(user)
        directory.set_manager(entry, None if manager is None else directory.user(manager))
        return self._shown(directory, entry)

    def set_photo(self, *, user: str, content: str | None = None, seed: str = "", tenant: str = "") -> JsonObject:
        """Store a photo: base64 of a PNG or JPEG, or one drawn from a seed."""
        directory = self._directory(tenant)
        entry = directory.user(user)
        photo = drawn(seed or entry.id) if content is None else uploaded(base64.b64decode(content, validate=True))
        directory.set_photo(entry, photo)
        return {"id": entry.id, "etag": photo.etag, "width": photo.width, "height": photo.height}

    def remove_photo(self, *, user: str, tenant: str = "") -> JsonObject:
        """Take a photo away."""
        directory = self._directory(tenant)
        directory.set_photo(directory.user(user), None)
        return {}

    # ── Groups ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def create_group(
        self,
        *,
        tenant: str = "",
        id: str | None = None,
        members: tuple[str, ...] = (),
        **properties: Any,
    ) -> JsonObject:
        """Create a group with Graph properties; `groupTypes: ["Unified"]` can be restored after a delete."""
        directory = self._directory(tenant)
        group = directory.create_group(properties, id)
        directory.add_members(group, [directory.any(member) for member in members])
        return self._shown(directory, group)

    def change_group(self, *, group: str, tenant: str = "", **properties: Any) -> JsonObject:
        """Set properties of a group."""
        directory = self._directory(tenant)
        entry = directory.group(group)
        return {"changed": directory.change(entry, properties), **self._shown(directory, entry)}

    def rename_group(self, *, group: str, name: str, tenant: str = "") -> JsonObject:
        """Give a group another displayName."""
        return self.change_group(group=group, tenant=tenant, displayName=name)

    def add_members(self, *, group: str, members: tuple[str, ...], tenant: str = "") -> JsonObject:
        """Put people, groups and other objects into a group."""
        directory = self._directory(tenant)
        return {"added": directory.add_members(directory.group(group), [directory.any(each) for each in members])}

    def remove_members(self, *, group: str, members: tuple[str, ...], tenant: str = "") -> JsonObject:
        """Take members out of a group."""
        directory = self._directory(tenant)
        return {"removed": directory.remove_members(directory.group(group), [directory.any(each) for each in members])}

    def move_members(self, *, source: str, target: str, members: tuple[str, ...], tenant: str = "") -> JsonObject:
        """Take members out of one group and put them into another."""
        moved = self.remove_members(group=source, members=members, tenant=tenant)
        return moved | self.add_members(group=target, members=members, tenant=tenant)

    def create_object(
        self,
        *,
        kind: Literal["device", "orgContact", "servicePrincipal"],
        name: str,
        id: str | None = None,
        tenant: str = "",
    ) -> JsonObject:
        """Create what else can be a member of a group."""
        directory = self._directory(tenant)
        return self._shown(directory, directory.create_other(Kind(kind), name, id))

    # ── Deletion ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def delete(self, *, object: str, tenant: str = "") -> JsonObject:
        """Delete: users and Microsoft 365 groups softly, everything else for good."""
        directory = self._directory(tenant)
        entry = directory.any(object)
        directory.delete(entry)
        return {"id": entry.id, "state": "deleted" if entry.id in directory.deleted else "gone"}

    def restore(self, *, object: str, tenant: str = "") -> JsonObject:
        """Bring back what was soft-deleted."""
        directory = self._directory(tenant)
        entry = directory.any(object)
        directory.restore(entry)
        return self._shown(directory, entry)

    def purge(self, *, object: str, tenant: str = "") -> JsonObject:
        """Delete for good, whether soft-deleted or not."""
        directory = self._directory(tenant)
        entry = directory.any(object)
        directory.purge(entry)
        return {"id": entry.id, "state": "gone"}

    # ── Faults ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def fault(
        self,
        *,
        kind: FaultKind,
        path: str = "",
        face: Literal["graph", "login"] = "graph",
        count: int | None = 1,
        chance: float = 1.0,
        skip: Count = 0,
        seed: int = 0,
        status: int = 503,
        retry_after: Count | None = None,
        seconds: float = 1.0,
        html: bool = False,
        when: Literal["any", "deltatoken", "skiptoken"] = "any",
    ) -> JsonObject:
        """Switch a fault on (`faults.Fault`); `count` null means for ever, `retry_after` null means no such header."""
        self.cloud.faults.add(
            Fault(kind, path, face, count, chance, skip, seed, status, retry_after, seconds, html, when)
        )
        return {"active": len(self.cloud.faults.active)}

    def clear_faults(self) -> JsonObject:
        """Switch all faults off, and end the throttling that they began."""
        self.cloud.faults.clear()
        for tenant in self.cloud.tenants.values():
            tenant.closed_until = 0.0
            tenant.used_units.clear()
        return {}

    def faults(self) -> JsonObject:
        """List the faults that are switched on, with how often they have struck."""
        return {"faults": [_fault_shown(fault) for fault in self.cloud.faults.active]}

    # ── The provisioning service ─────────────────────────────────────────────────────────────────────────────────────

    async def push(
        self,
        *,
        tenant_url: str,
        token: str | None = None,
        cycle: Cycle = "incremental",
        job: str = "",
        subjects: tuple[str, ...] = (),
        wait: bool = True,
        tenant: str = "",
        **options: Any,
    ) -> JsonObject:
        """Run a cycle against a Tenant URL and give its report; `options` are those of `scim_push.Options`.

        A job is known by its name, or else by tenant and URL; what it remembers lasts from cycle to cycle. `subjects`
        are for `on_demand`. Without `wait` the report says `running`; `push_report` tells how it goes on.
        """
        owner = self.cloud.tenant(tenant)
        name = job or f"{owner.id} {tenant_url.partition('?')[0].rstrip('/')}"
        chosen = Options.model_validate(options)
        entries = assigned_to(owner.directory, subjects)
        assigned_to(owner.directory, () if chosen.scope == "all" else chosen.scope)
        found = self.service.job(name, owner, tenant_url, token, chosen)
        push = self.service.begin(found, cycle)
        running = asyncio.create_task(self.service.run(found, push, entries))
        self._tasks.add(running)
        running.add_done_callback(self._tasks.discard)
        if wait:
            await asyncio.shield(running)
        return push.report(found)

    def push_report(self, *, id: str) -> JsonObject:
        """Tell how a cycle went, or goes."""
        push, job = self._push(id)
        return push.report(job)

    def exchanges(self, *, id: str, after: Count = 0, limit: Count = 10_000) -> JsonObject:
        """List the requests of a cycle in the order in which they were sent, with their answers."""
        push, _ = self._push(id)
        return {"exchanges": [asdict(each) for each in push.exchanges[after : after + limit]]}

    def actions(self, *, id: str) -> JsonObject:
        """List what a cycle did, as the provisioning log does."""
        push, _ = self._push(id)
        return {"actions": push.actions}

    def links(self, *, job: str = "", tenant_url: str = "", tenant: str = "") -> JsonObject:
        """Tell which ids at the other end a job knows, by object id."""
        name = job or f"{self.cloud.tenant(tenant).id} {tenant_url.partition('?')[0].rstrip('/')}"
        if name not in self.service.jobs:
            raise Refused(f"There is no job {name!r}.")
        return {"links": {key: link.target_id for key, link in self.service.jobs[name].links.items()}}

    async def wait(self, *, seconds: Annotated[float, Field(ge=0, le=3600)]) -> JsonObject:
        """Do nothing for a while, between the steps of a script."""
        await asyncio.sleep(seconds)
        return {}

    # ── Telling ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def overview(self) -> JsonObject:
        """Say where everything is."""
        base = self.cloud.base_url
        return {
            "graph_url": base,
            "login_url": base,
            "now": self.cloud.clock.now(),
            "script": self.script_state,
            "tenants": [
                {"id": tenant.id, "name": tenant.directory.name, "domain": tenant.directory.domain}
                | _sizes(tenant.directory)
                for tenant in self.cloud.tenants.values()
            ],
            "applications": [
                {"client_id": application.client_id, "name": application.name}
                for application in self.cloud.applications.values()
            ],
            "verbs": sorted(VERBS),
        }

    def counters(self, *, reset: bool = False) -> JsonObject:
        """Give what was counted: requests by route and by status, and `impatient` ones; then begin anew if told."""
        counted = dict(sorted(self.cloud.counters.items()))
        if reset:
            self.cloud.counters.clear()
            self.cloud.requests.clear()
        return {"counters": counted}

    def requests(self, *, path: str = "", limit: Count = 1000) -> JsonObject:
        """List the latest requests, oldest first; of headers only harmless ones."""
        found = [request for request in self.cloud.requests if path in request["path"]]
        return {"requests": found[max(0, len(found) - limit) :]}

    def show(self, *, object: str, tenant: str = "") -> JsonObject:
        """Show one object as the directory holds it."""
        directory = self._directory(tenant)
        return self._shown(directory, directory.any(object))

    def directory(self, *, tenant: str = "") -> JsonObject:
        """Give the whole truth, to hold something else against it."""
        directory = self._directory(tenant)
        live = directory.live
        return {
            "id": directory.id,
            "users": [self._shown(directory, user) for user in live[Kind.USER].values()],
            "groups": [self._shown(directory, group) for group in live[Kind.GROUP].values()],
            "deleted": [self._shown(directory, entry) for entry in directory.deleted.values()],
            "gone": sorted(directory.graves),
        }

    def _shown(self, directory: Directory, entry: Entry) -> JsonObject:
        shown = {"id": entry.id, "kind": entry.kind.value, **entry.properties, "deletedDateTime": entry.deleted_at}
        if entry.kind is Kind.USER:
            shown |= {"manager": entry.manager_id, "photo": entry.photo.etag if entry.photo is not None else None}
        if entry.kind is Kind.GROUP:
            shown["members"] = [{"id": each.id, "kind": each.kind.value} for each in directory.members(entry)]
        return shown

    def _directory(self, tenant: str) -> Directory:
        return self.cloud.tenant(tenant).directory

    def _push(self, push_id: str) -> tuple[Push, Job]:
        push = self.service.pushes.get(push_id)
        if push is None:
            raise Refused(f"There is no push {push_id!r}.")
        return push, self.service.jobs[push.job_id]


def _sizes(directory: Directory) -> JsonObject:
    groups = directory.live[Kind.GROUP].values()
    return {
        "users": len(directory.live[Kind.USER]),
        "groups": len(groups),
        "memberships": sum(len(group.members) for group in groups),
    }


def _fault_shown(fault: Fault) -> JsonObject:
    names = ("kind", "path", "face", "count", "chance", "skip", "struck")
    return {name: getattr(fault, name) for name in names}


Verb = Callable[..., JsonObject | Awaitable[JsonObject]]
NO_VERBS = frozenset({"do", "run_script", "close"})
CHECKED = ConfigDict(arbitrary_types_allowed=True)
VERBS: dict[str, Verb] = {
    name: validate_call(config=CHECKED)(method)
    for name, method in vars(Control).items()
    if callable(method) and not name.startswith("_") and name not in NO_VERBS
}
