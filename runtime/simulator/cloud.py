"""All of the simulated Entra together: tenants, applications and their consents, settings, and what has been asked."""

import random
import secrets
import uuid
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from runtime.simulator.clock import Clock
from runtime.simulator.directory import Directory, DirectoryError, Habits
from runtime.simulator.faults import Faults
from runtime.simulator.tokens import Certificate, Keys

TENANT_ID = "aaaaaaaa-0000-4000-8000-000000000001"
CLIENT_ID = "cccccccc-0000-4000-8000-000000000001"
CLIENT_SECRET = "simulated-client-secret"
GRAPH_APP = "00000003-0000-0000-c000-000000000000"
READ_ONLY = ("User.Read.All", "Group.Read.All")
"""The permissions that the product asks for."""

Tokens = Annotated[int, Field(ge=0)]
PageSize = Annotated[int, Field(ge=1, le=100_000)]


class Settings(BaseModel):
    """How the simulator behaves; `control` changes them while it runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    delta_page: PageSize = 200
    """Objects on a page of a delta round."""
    members_page: PageSize = 1000
    """Members on a page of a delta round: a larger group is spread over several."""
    list_page: PageSize = 100
    """Objects on a page of a list that does not say `$top`."""
    shuffle: bool = False
    """Whether the objects of a delta round come in any order, slices of one group apart from each other."""
    removed_in_first_round: bool = False
    """Whether the first round holds soft-deleted objects as `@removed`."""
    purge_reports_members: bool = False
    """Whether groups say that a purged user is no member any more; observed is that they do not."""
    restore_reports_members: bool = False
    """Whether groups say that a restored user is a member; the membership was there all the time."""
    token_seconds: Annotated[int, Field(ge=1)] = 3599
    """Life of an access token."""
    delta_token_days: Annotated[float, Field(gt=0)] = 7
    token_padding: Tokens = 0
    """Characters that delta and skip tokens are longer than needed."""
    photoless: Literal["404", "1x1"] = "404"
    """What the metadata of a photo that is not there looks like."""
    consent: Literal["page", "grant", "deny"] = "grant"
    """What the administrator answers to the question for consent."""
    wids: tuple[str, ...] | None = None
    """Directory roles that id tokens name, whoever signs in; None: the application does not ask for them."""
    roles_after_seconds: Annotated[float, Field(ge=0)] = 0
    """How long after the consent tokens carry no permissions yet, by the directory's clock."""
    units_per_10s: Annotated[int, Field(ge=1)] | None = None
    """The quota of an application in a tenant, in resource units; None does not count."""


@dataclass(slots=True)
class Application:
    """An application registration, known in every tenant that has consented."""

    client_id: str
    name: str
    secrets: set[str]
    permissions: tuple[str, ...]
    certificates: list[Certificate] = field(default_factory=list)
    redirect_uris: list[str] = field(default_factory=list)
    """Where answers may be sent; while there is none, anywhere on a loopback address."""


@dataclass(slots=True)
class Tenant:
    """A customer: a directory, and who may read it."""

    directory: Directory
    consents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Granted permissions by client id."""
    consented_at: dict[str, float] = field(default_factory=dict)
    used_units: deque[tuple[float, int]] = field(default_factory=deque)
    closed_until: float = 0.0
    """Until when, on the loop's clock, requests are refused because of throttling."""

    @property
    def id(self) -> str:
        """The tenant's id."""
        return self.directory.id


@dataclass(frozen=True, slots=True)
class SignIn:
    """A code that was handed out after a sign-in, until it is redeemed."""

    tenant_id: str
    user_id: str
    client_id: str
    redirect_uri: str
    scope: str
    nonce: str | None
    challenge: str | None
    expires: float


class Cloud:
    """Everything there is, in memory."""

    def __init__(self, base_url: str, seed: int = 0) -> None:
        self.base_url = base_url.rstrip("/")
        self.seed = seed
        self.random = random.Random(seed)
        self.clock = Clock()
        self.keys = Keys()
        self.settings = Settings()
        self.faults = Faults()
        self.tenants: dict[str, Tenant] = {}
        self.applications: dict[str, Application] = {}
        self.sign_ins: dict[str, SignIn] = {}
        self.rounds: OrderedDict[str, Any] = OrderedDict()
        self.generation = 0
        """Delta tokens of an earlier generation are expired."""
        self.counters: Counter[str] = Counter()
        self.requests: deque[dict[str, Any]] = deque(maxlen=5000)

    def add_tenant(self, name: str, domain: str, tenant_id: str | None = None) -> Tenant:
        """Make a tenant with an empty directory."""
        tenant_id = tenant_id or str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        if tenant_id in self.tenants or any(domain == other.directory.domain for other in self.tenants.values()):
            raise DirectoryError(f"There is a tenant {tenant_id} or {domain} already.")
        directory = Directory(tenant_id, name, domain, self.clock, self.seed + len(self.tenants))
        directory.habits = self._habits()
        tenant = Tenant(directory)
        self.tenants[tenant_id] = tenant
        return tenant

    def add_application(self, name: str, permissions: tuple[str, ...], client_id: str | None = None) -> Application:
        """Register an application, without a secret."""
        client_id = client_id or str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        application = Application(client_id, name, set(), permissions)
        self.applications[client_id] = application
        return application

    def tenant(self, reference: str = "") -> Tenant:
        """Find a tenant by id or domain; the first one when nothing is said. Raises DirectoryError."""
        if not reference and self.tenants:
            return next(iter(self.tenants.values()))
        for tenant in self.tenants.values():
            if reference.casefold() in (tenant.id, tenant.directory.domain.casefold()):
                return tenant
        raise DirectoryError(f"There is no tenant {reference!r}.")

    def consent(self, tenant: Tenant, application: Application, permissions: tuple[str, ...] | None = None) -> None:
        """Grant an application what it asks for, or what is given."""
        tenant.consents[application.client_id] = application.permissions if permissions is None else permissions
        tenant.consented_at[application.client_id] = self.clock.seconds()

    def granted(self, tenant: Tenant, application: Application) -> tuple[str, ...]:
        """Give the permissions that a token carries now: those of a fresh consent take a while to arrive."""
        since = self.clock.seconds() - tenant.consented_at.get(application.client_id, 0.0)
        if since < self.settings.roles_after_seconds:
            return ()
        return tenant.consents.get(application.client_id, ())

    def change_settings(self, **changes: Any) -> Settings:
        """Change settings. Raises pydantic's ValidationError."""
        self.settings = Settings.model_validate({**self.settings.model_dump(), **changes})
        for tenant in self.tenants.values():
            tenant.directory.habits = self._habits()
        return self.settings

    def is_ours(self, resource: str) -> bool:
        """Say whether a token for this resource is one for Graph."""
        return resource.rstrip("/") in {self.base_url, GRAPH_APP, *GRAPH_HOSTS}

    def new_secret(self) -> str:
        """Make something that nobody can guess: codes and ids of requests."""
        return secrets.token_urlsafe(32)

    def _habits(self) -> Habits:
        return Habits(self.settings.purge_reports_members, self.settings.restore_reports_members)


GRAPH_HOSTS = frozenset(
    {
        "https://graph.microsoft.com",
        "https://graph.microsoft.us",
        "https://dod-graph.microsoft.us",
        "https://microsoftgraph.chinacloudapi.cn",
    }
)


def small_cloud(base_url: str, seed: int = 0, *, consented: bool = True) -> Cloud:
    """Make the simulator as it starts: one empty tenant, and one application that may read it."""
    cloud = Cloud(base_url, seed)
    tenant = cloud.add_tenant("Contoso", "contoso.com", TENANT_ID)
    application = cloud.add_application("SCIM server", READ_ONLY, CLIENT_ID)
    application.secrets.add(CLIENT_SECRET)
    if consented:
        cloud.consent(tenant, application)
    return cloud
