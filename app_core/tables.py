"""All tables, gathered for migrations: importing this module fills the metadata."""

from sqlmodel import SQLModel

from app_core import (
    activation,
    api_keys,
    cards,
    connections,
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
    teams,
    templates,
    tenants,
    vault,
)

__all__ = [
    "activation",
    "api_keys",
    "cards",
    "connections",
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
    "teams",
    "templates",
    "tenants",
    "vault",
]

METADATA = SQLModel.metadata
