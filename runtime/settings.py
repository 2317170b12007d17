"""Environment → frozen settings; the only reader of the environment. Wrong values are refused by name."""

import os
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

PREFIX = "SCIM_SERVER_"
MIN_SECRET = 8


class WrongSetting(Exception):
    """A setting cannot be used; the text names the variable and what is expected."""


def _database_url(value: str) -> str:
    # Without a file SQLite would start anew with each connection.
    without_file = value in ("sqlite:///", "sqlite:///:memory:")
    if not value.startswith(("sqlite:///", "postgresql://")) or without_file:
        raise ValueError("expected sqlite:///FILE or postgresql://USER:PASSWORD@HOST:PORT/NAME")
    return value


def _http_url(value: str) -> str:
    if not _is_http_url(value):
        raise ValueError("expected an address such as https://scim.example.com, without a query")
    return value.rstrip("/")


def _is_http_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return False
    plain = parts.scheme in ("http", "https") and parts.hostname and port != 0
    return bool(plain) and not parts.query and not parts.fragment


def _tls_url(value: str) -> str:
    parts = urlsplit(_http_url(value))
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ValueError("expected an https address; plain http is for simulators on a loopback address")
    return value.rstrip("/")


def _smtp_url(value: SecretStr) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ValueError("expected smtp://USER:PASSWORD@HOST:PORT or smtps://…")
    return value


def _secret_key(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < MIN_SECRET:
        raise ValueError(f"expected at least {MIN_SECRET} characters, e.g. from `openssl rand -base64 32`")
    return value


class Settings(BaseModel):
    """What an operator can set; each field is a variable `SCIM_SERVER_<NAME>`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: Annotated[str, AfterValidator(_database_url)] = "sqlite:///scim-server.db"
    public_url: Annotated[str, AfterValidator(_http_url)] | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_retention_days: Annotated[int, Field(ge=1, le=3650)] = 90
    event_retention_days: Annotated[int, Field(ge=1, le=3650)] = 30
    max_body_bytes: Annotated[int, Field(ge=64 * 1024, le=256 * 1024 * 1024)] = 8 * 1024 * 1024
    max_url_bytes: Annotated[int, Field(ge=1024, le=60 * 1024)] = 16 * 1024
    page_size: Annotated[int, Field(ge=1, le=10_000)] = 100
    max_page_size: Annotated[int, Field(ge=1, le=10_000)] = 1000
    max_bulk_operations: Annotated[int, Field(ge=1, le=100_000)] = 1000
    pool_size: Annotated[int, Field(ge=1, le=1000)] = 16

    # Taken and checked, and not used before the parts they are for are built: Microsoft Graph, mail, sealed secrets.
    secret_key: Annotated[SecretStr, AfterValidator(_secret_key)] | None = None
    graph_url: Annotated[str, AfterValidator(_tls_url)] = "https://graph.microsoft.com"
    login_url: Annotated[str, AfterValidator(_tls_url)] = "https://login.microsoftonline.com"
    entra_client_id: str | None = None
    entra_client_secret: SecretStr | None = None
    entra_client_certificate: str | None = None
    smtp_url: Annotated[SecretStr, AfterValidator(_smtp_url)] | None = None


def load(environment: Mapping[str, str] | None = None, **overrides: str | None) -> Settings:
    """Read the settings; command-line options win. Raises WrongSetting."""
    environment = os.environ if environment is None else environment
    given = {name.removeprefix(PREFIX).lower(): value for name, value in environment.items() if name.startswith(PREFIX)}
    given = {name: value for name, value in given.items() if value != ""}
    given |= {name: value for name, value in overrides.items() if value is not None}
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        raise WrongSetting("\n".join(_sentence(dict(each)) for each in error.errors())) from None
    if settings.page_size > settings.max_page_size:
        raise WrongSetting(f"{PREFIX}PAGE_SIZE: it cannot be larger than {PREFIX}MAX_PAGE_SIZE.")
    return settings


def _sentence(error: dict[str, object]) -> str:
    place = error["loc"]
    assert isinstance(place, tuple)
    name = PREFIX + str(place[0]).upper()
    if error["type"] == "extra_forbidden":
        return f"{name}: there is no such setting."
    return f"{name}: {str(error['msg']).removeprefix('Value error, ')}."
