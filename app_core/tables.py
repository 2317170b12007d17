"""All tables, gathered for migrations: importing this module fills the metadata."""

from sqlmodel import SQLModel

from app_core import (
    accounts,
    activation,
    api_keys,
    awaited,
    cards,
    connections,
    consents,
    directory,
    idempotency,
    invitations,
    jobs,
    outbox,
    people,
    photos,
    provisioning_log,
    reconciliations,
    seats,
    sessions,
    sign_in_flows,
    teams,
    templates,
    tenants,
    user_filter,
    vault,
)

__all__ = [
    "accounts",
    "activation",
    "api_keys",
    "awaited",
    "cards",
    "connections",
    "consents",
    "directory",
    "idempotency",
    "invitations",
    "jobs",
    "outbox",
    "people",
    "photos",
    "provisioning_log",
    "reconciliations",
    "seats",
    "sessions",
    "sign_in_flows",
    "teams",
    "templates",
    "tenants",
    "user_filter",
    "vault",
]

METADATA = SQLModel.metadata
