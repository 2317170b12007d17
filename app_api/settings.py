"""The tenant's policies, and what the operator has set for it."""

from dataclasses import dataclass
from typing import Annotated, Literal

from app_api.bodies import Body, given, one_of
from app_api.exchange import Answer, Call
from app_core import administration, tenants
from app_core.tenants import POLICIES
from app_core.work import Work

GroupSync = Annotated[str, one_of(*POLICIES["group_sync"])]
OnGroupDelete = Annotated[str, one_of(*POLICIES["on_group_delete"])]
InvalidPhone = Annotated[str, one_of(*POLICIES["invalid_phone"])]


@dataclass(frozen=True, slots=True)
class Settings:
    """The policies of the tenant; `seat_limit` is the operator's to set, null is none."""

    group_sync: GroupSync
    on_group_delete: OnGroupDelete
    invalid_phone: InvalidPhone
    seat_limit: int | None


class SettingsChange(Body):
    """Which policies to change."""

    group_sync: Literal["all", "selected"] = "all"
    on_group_delete: Literal["refuse", "detach"] = "refuse"
    invalid_phone: Literal["flag", "reject"] = "flag"


def read(work: Work, call: Call) -> Answer[Settings]:
    """Read the settings."""
    return Answer(200, _shown(tenants.acting(work)))


def change(work: Work, call: Call, body: SettingsChange) -> Answer[Settings]:
    """Change policies; what is not sent stays."""
    before = tenants.acting(work)
    after = administration.change_settings(work, given(body))
    changed = [name for name in POLICIES if getattr(after, name) != getattr(before, name)]
    return Answer(200, _shown(after), work.tenant_id, changed)


def _shown(tenant: tenants.Tenant) -> Settings:
    return Settings(tenant.group_sync, tenant.on_group_delete, tenant.invalid_phone, tenant.seat_limit)
