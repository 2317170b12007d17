"""All tables, gathered for migrations: importing this module fills the metadata."""

from sqlmodel import SQLModel

from app_core import connections, directory, provisioning_log, tenants

__all__ = ["connections", "directory", "provisioning_log", "tenants"]

METADATA = SQLModel.metadata
