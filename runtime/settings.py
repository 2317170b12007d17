"""Environment → frozen settings; the only reader of the environment. Wrong values are refused by name."""

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

PREFIX = "SCIM_SERVER_"
MIN_SECRET = 8
SIGN_IN_PATH = "/console/sign-in?link="
"""Where a one-time link leads to, below our address; its secret follows."""
GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
CLOUDS = {
    "graph.microsoft.com": ("login.microsoftonline.com", "login.microsoft.com", "login.windows.net"),
    "graph.microsoft.us": ("login.microsoftonline.us",),
    "dod-graph.microsoft.us": ("login.microsoftonline.us",),
    "microsoftgraph.chinacloudapi.cn": ("login.chinacloudapi.cn", "login.partner.microsoftonline.cn"),
}
"""Graph's host in each cloud, and the logins whose tokens it takes (entra.md §8.14); the first of them is usual."""


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


def _microsoft_url(value: str) -> str:
    """Check the address of a Graph or a login: https and a host alone, or plain http on this machine."""
    parts = urlsplit(_http_url(value))
    if parts.username is not None:
        raise ValueError("expected an address without a user in it")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("expected an https address; plain http is for simulators on a loopback address")
    if parts.path.strip("/") and not is_loopback(parts.hostname or ""):
        raise ValueError("expected the address of the host alone, without a version, directory or other path")
    return value.rstrip("/")


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _smtp_url(value: SecretStr) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ValueError("expected smtp://USER:PASSWORD@HOST:PORT or smtps://…")
    return value


def _secret_key(value: SecretStr) -> SecretStr:
    from app_core.sealing import keys_of  # cryptography, only where there is something to seal with

    keys = keys_of(value.get_secret_value())
    if not keys or min(map(len, keys)) < MIN_SECRET:
        raise ValueError(
            f"expected at least {MIN_SECRET} characters, e.g. from `openssl rand -base64 32`; several keys are "
            "separated by commas, the first seals and all of them open"
        )
    return value


def _client_id(value: str) -> str:
    if not re.fullmatch(r"[\w.-]{1,100}", value, re.ASCII):
        raise ValueError("expected the 'Application (client) ID' of the app registration, a GUID")
    return value


def _client_secret(value: SecretStr) -> SecretStr:
    if re.search(r"\s", value.get_secret_value()):
        raise ValueError("expected the value of a client secret of the app registration; it holds no blanks")
    return value


def _client_certificate(value: SecretStr) -> SecretStr:
    """Check a certificate with its private key: as PEM, or the path of a PEM file, which is read here."""
    pem = value.get_secret_value()
    if "-----BEGIN" not in pem:
        try:
            pem = Path(pem).read_text(encoding="ascii")
        except (OSError, ValueError):
            raise ValueError("expected PEM, or the path of a PEM file that can be read") from None
    pem = pem.replace("\\n", "\n")
    problem = _problem_of_pem(pem.encode())
    if problem is not None:
        raise ValueError(problem)
    return SecretStr(pem)


def _problem_of_pem(pem: bytes) -> str | None:
    from cryptography import x509  # only where there is a certificate
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    expected = "expected a private key and its certificate, one behind the other, as PEM"
    try:
        key = load_pem_private_key(pem, password=None)
        certificate = x509.load_pem_x509_certificate(pem)
    except TypeError:
        return "expected a private key without a passphrase"
    except ValueError:
        return expected
    if not isinstance(key, RSAPrivateKey):
        return "expected an RSA key: Entra takes no other"
    if certificate.public_key() != key.public_key():
        return "expected the certificate of this private key; this one is of another key"
    return None


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

    # What seals secrets at rest; Microsoft Graph and the application that reads it; mail.
    secret_key: Annotated[SecretStr, AfterValidator(_secret_key)] | None = None
    graph_url: Annotated[str, AfterValidator(_microsoft_url)] = "https://graph.microsoft.com"
    login_url: Annotated[str, AfterValidator(_microsoft_url)] = "https://login.microsoftonline.com"
    entra_client_id: Annotated[str, AfterValidator(_client_id)] | None = None
    entra_client_secret: Annotated[SecretStr, AfterValidator(_client_secret)] | None = None
    entra_client_certificate: Annotated[SecretStr, AfterValidator(_client_certificate)] | None = None
    smtp_url: Annotated[SecretStr, AfterValidator(_smtp_url)] | None = None


def inherited(settings: Mapping[str, str]) -> dict[str, str]:
    """Give the environment of a process that we start: ours, with these settings and none of ours."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}, **settings}


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
    problems = _contradictions(settings)
    if problems:
        raise WrongSetting("\n".join(f"{PREFIX}{problem}" for problem in problems))
    return settings


def _contradictions(settings: Settings) -> list[str]:
    """Say which settings do not go together."""
    found = []
    if settings.page_size > settings.max_page_size:
        found.append(f"PAGE_SIZE: it cannot be larger than {PREFIX}MAX_PAGE_SIZE.")
    secret, certificate = settings.entra_client_secret, settings.entra_client_certificate
    if secret is not None and certificate is not None:
        found.append(f"ENTRA_CLIENT_SECRET: expected either this or {PREFIX}ENTRA_CLIENT_CERTIFICATE, not both.")
    if settings.entra_client_id is None and (secret is not None or certificate is not None):
        found.append("ENTRA_CLIENT_ID: expected the id of the application whose secret or certificate is set.")
    graph, login = (urlsplit(url).hostname or "" for url in (settings.graph_url, settings.login_url))
    logins = CLOUDS.get(graph, ())
    if logins and login not in logins and any(login in others for others in CLOUDS.values()):
        found.append(f"LOGIN_URL: expected https://{logins[0]}, the login of the cloud of {PREFIX}GRAPH_URL.")
    # Simulators give any names; in Entra each is a GUID, and a secret is not.
    if not is_loopback(login):
        if settings.entra_client_id is not None and not GUID.fullmatch(settings.entra_client_id):
            found.append("ENTRA_CLIENT_ID: expected the 'Application (client) ID' of the app registration, a GUID.")
        if secret is not None and GUID.fullmatch(secret.get_secret_value()):
            found.append("ENTRA_CLIENT_SECRET: expected the secret's value; this looks like its id (Entra shows both).")
    return found


def _sentence(error: dict[str, object]) -> str:
    place = error["loc"]
    assert isinstance(place, tuple)
    name = PREFIX + str(place[0]).upper()
    if error["type"] == "extra_forbidden":
        return f"{name}: there is no such setting."
    return f"{name}: {str(error['msg']).removeprefix('Value error, ')}."
