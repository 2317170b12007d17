"""The command `scim-server`: what an operator does by hand. Each command explains itself by --help."""

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError

from app_core import administration, administrators, api_keys, clock, connections, deletion, outbox, seats, tenants
from app_core.administrators import Account
from app_core.api_keys import KeyScope
from app_core.db import Connection, Database, is_sqlite, open_database, open_sqlite, sqlite_path
from app_core.errors import DomainError, Invalid
from app_core.ids import new_correlation_id
from app_core.migrations import upgrade
from app_core.tenants import Tenant
from app_core.work import Actor, Source, Work
from runtime.settings import PREFIX, SIGN_IN_PATH, Settings, WrongSetting, load

T = TypeVar("T")
UNITS = {"h": 3600, "d": 86400, "y": 365 * 86400}
LONGEST = 100 * UNITS["y"]
POLICIES = {
    "group_sync": "which groups of the directory become teams",
    "on_group_delete": "what to do when a group is deleted whose team still holds logins",
    "invalid_phone": "what to do with a phone number that no card can show",
}


GRAPH_ACTIONS = {
    "connect": "prove a directory by a token and join it to a tenant",
    "disconnect": "pull no more; what is there stays",
    "groups": "list the directory's groups, and which of them are teams",
    "add": "take a group over as a team",
    "remove": "stop syncing a group and delete its team",
    "sync": "pull now, with progress",
    "reconcile": "list the whole directory, and repair what differs here",
    "approve": "carry out the removals that a reconciliation holds",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code: 0 done, 1 refused, 2 called wrongly."""
    options = _parser().parse_args(arguments)
    try:
        settings = load(database_url=getattr(options, "database_url", None))
        return int(options.run(settings, options) or 0)
    except WrongSetting as error:
        print(f"scim-server: wrong setting\n{error}", file=sys.stderr)
        return 2
    except DomainError as error:
        print(f"scim-server: {error.sentence}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scim-server", description="SCIM 2.0 provisioning for Microsoft Entra ID.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="bring the schema up to date and serve")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    serve.add_argument("--port", type=_port, default=8000, help="port to listen on (default %(default)s)")
    serve.add_argument("--database-url", help="instead of SCIM_SERVER_DATABASE_URL")
    serve.add_argument("--no-worker", action="store_true", help="leave background work to other processes")
    serve.set_defaults(run=_serve)

    demo = commands.add_parser("demo", help="look around: a throw-away database and a simulated Entra that pushes")
    demo.add_argument("--port", type=_port, default=8000, help="port to listen on (default %(default)s)")
    demo.set_defaults(run=_demo)

    worker = commands.add_parser("worker", help="do the background work alone (PostgreSQL)")
    worker.add_argument("--database-url", help="instead of SCIM_SERVER_DATABASE_URL")
    worker.set_defaults(run=_worker)

    migrate = commands.add_parser("migrate", help="bring the schema up to date")
    migrate.add_argument("--database-url", help="instead of SCIM_SERVER_DATABASE_URL")
    migrate.set_defaults(run=_migrate)

    backup = commands.add_parser("backup", help="copy a SQLite database while it is in use")
    backup.add_argument("file", type=Path, help="where to write the copy; it must not exist")
    backup.set_defaults(run=_backup)

    tenant = commands.add_parser("tenant", help="the vendor's customers").add_subparsers(
        required=True, metavar="ACTION"
    )
    create = _json(tenant.add_parser("create", help="add a tenant with its connection and a first token"))
    create.add_argument("name")
    create.add_argument("--seats", type=int, help="how many seats may be open; none given: no limit")
    create.set_defaults(run=_tenant_create)
    _json(tenant.add_parser("list", help="list all tenants")).set_defaults(run=_tenant_list)
    show = _json(tenant.add_parser("show", help="show a tenant"))
    show.add_argument("tenant", help="its id or name")
    show.set_defaults(run=_tenant_show)

    change = _json(tenant.add_parser("set", help="rename a tenant, change its number of seats or its policies"))
    change.add_argument("tenant", help="its id or name")
    change.add_argument("--name", help="its new name")
    change.add_argument("--seats", help="how many seats may be open, or 'unlimited'; who waits for one is served")
    for policy, help_text in POLICIES.items():
        change.add_argument(f"--{policy.replace('_', '-')}", choices=tenants.POLICIES[policy], help=help_text)
    change.set_defaults(run=_tenant_set)
    delete = _json(tenant.add_parser("delete", help="delete a tenant that holds nothing of a directory any more"))
    delete.add_argument("tenant", help="its id or name")
    delete.set_defaults(run=_tenant_delete)

    doctor = _json(commands.add_parser("doctor", help="check settings and database, and say what to mend"))
    doctor.set_defaults(run=_doctor)

    token = commands.add_parser("token", help="SCIM secrets").add_subparsers(required=True, metavar="ACTION")
    issue = _json(token.add_parser("create", help="make a secret, shown this once; others stay valid"))
    issue.add_argument("tenant", help="id or name of the tenant")
    issue.add_argument("--label", default="", help="what it is for")
    issue.add_argument("--expires", type=_duration, metavar="90d", help="how long it lives: hours h, days d, years y")
    issue.set_defaults(run=_token_create)
    listing = _json(token.add_parser("list", help="list the secrets of a tenant, without the secrets"))
    listing.add_argument("tenant", help="id or name of the tenant")
    listing.set_defaults(run=_token_list)
    revoke = _json(token.add_parser("revoke", help="end a secret at once"))
    revoke.add_argument("tenant", help="id or name of the tenant")
    revoke.add_argument("token_id", help="its id, as listed")
    revoke.set_defaults(run=_token_revoke)

    graph = commands.add_parser("graph", help="Microsoft Graph by hand").add_subparsers(required=True, metavar="ACTION")
    for name, help_text in GRAPH_ACTIONS.items():
        _graph_action(graph.add_parser(name, help=help_text), name)

    key = commands.add_parser("api-key", help="secrets for the JSON API").add_subparsers(
        required=True, metavar="ACTION"
    )
    issue = _json(key.add_parser("create", help="make an API key, shown this once; others stay valid"))
    issue.add_argument("tenant", help="id or name of the tenant")
    issue.add_argument(
        "--scope",
        choices=[str(scope) for scope in KeyScope],
        default=str(KeyScope.ADMIN),
        help="read only, also write, or all that the API can (default %(default)s)",
    )
    issue.add_argument("--label", default="", help="what it is for")
    issue.add_argument("--expires", type=_duration, metavar="90d", help="how long it lives: hours h, days d, years y")
    issue.set_defaults(run=_api_key_create)
    listing = _json(key.add_parser("list", help="list the API keys of a tenant, without the secrets"))
    listing.add_argument("tenant", help="id or name of the tenant")
    listing.set_defaults(run=_api_key_list)
    revoke = _json(key.add_parser("revoke", help="end an API key at once"))
    revoke.add_argument("tenant", help="id or name of the tenant")
    revoke.add_argument("key_id", help="its id, as listed")
    revoke.set_defaults(run=_api_key_revoke)

    admin = commands.add_parser("admin", help="who may use the console").add_subparsers(required=True, metavar="ACTION")
    for name, (run, help_text) in ADMIN_ACTIONS.items():
        action = _json(admin.add_parser(name, help=help_text))
        if name != "list":
            action.add_argument("email", help="the address; it is a label and where links are sent, and proves nobody")
        of_all = "everybody" if name == "list" else "an operator of this server"
        action.add_argument("--tenant", help=f"id or name of the tenant; without it: {of_all}")
        action.set_defaults(run=run)
    return parser


def _graph_action(action: argparse.ArgumentParser, name: str) -> None:
    _json(action).add_argument("tenant", help="id or name of the tenant")
    if name == "connect":
        action.add_argument("--entra-tenant-id", required=True, metavar="ID", help="the directory's own id")
        action.add_argument("--shared", action="store_true", help="also where another tenant is connected to it")
    if name == "groups":
        action.add_argument("--search", default="", help="the beginning of a word of the name")
        action.add_argument("--after", help="where to go on: `next` of the page before")
    if name in ("add", "remove"):
        action.add_argument("object_id", help="the group's object id in Entra")
    if name == "reconcile":
        action.add_argument("--dry-run", action="store_true", help="say what differs, and change nothing")
    if name == "approve":
        action.add_argument("run_id", help="the run that holds them, as `reconcile` says it")
    action.set_defaults(run=_graph, action=name)


def _json(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _duration(text: str) -> float:
    found = re.fullmatch(r"(\d{1,5})([hdy])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"'{text}' is not a span such as 12h, 90d or 2y")
    seconds = int(found[1]) * UNITS[found[2]]
    if seconds > LONGEST:
        raise argparse.ArgumentTypeError(f"'{text}' is longer than 100y")
    return seconds


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"'{text}' is not a port: a number up to 65535, 0 for any free one")
    return int(text)


# Serving ------------------------------------------------------------------------------------------------------------


def _serve(settings: Settings, options: argparse.Namespace) -> int:
    from runtime import server

    _upgrade(settings)
    return server.serve(settings, host=options.host, port=options.port, worker=not options.no_worker)


def _demo(settings: Settings, options: argparse.Namespace) -> int:
    from runtime.demo import demo

    return demo(options.port)


def _worker(settings: Settings, options: argparse.Namespace) -> int:
    from runtime import server

    if is_sqlite(settings.database_url):
        raise Invalid("SQLite belongs to one process: `serve` does the background work there.")
    _upgrade(settings)
    return server.work(settings)


def _migrate(settings: Settings, options: argparse.Namespace) -> None:
    _upgrade(settings)
    print("The schema is up to date.")


def _backup(settings: Settings, options: argparse.Namespace) -> None:
    if not is_sqlite(settings.database_url):
        raise Invalid("PostgreSQL has its own tools for this: use pg_dump or a base backup.")
    if options.file.exists():
        raise Invalid(f"{options.file} exists already.")
    if not Path(sqlite_path(settings.database_url)).is_file():
        raise Invalid(f"There is no database at {sqlite_path(settings.database_url)}.")
    if not options.file.absolute().parent.is_dir():
        raise Invalid(f"There is no folder {options.file.absolute().parent}.")
    source, target = open_sqlite(sqlite_path(settings.database_url)), open_sqlite(str(options.file))
    source.backup(target)
    target.close()
    source.close()
    print(f"Copied to {options.file}.")


# Graph --------------------------------------------------------------------------------------------------------------


def _graph(settings: Settings, options: argparse.Namespace) -> int:
    from runtime import by_hand

    _upgrade(settings)
    result = asyncio.run(by_hand.run(settings, options, lambda text: print(text, file=sys.stderr, flush=True)))
    items = result.get("items")
    rest = {name: value for name, value in result.items() if name != "items"}
    shown = items if isinstance(items, list) else [result]
    shown = [*shown, rest] if "run_id" in result else shown
    lines = ["  ".join([f"{name}: {value}" for name, value in each.items() if value is not None]) for each in shown]
    _print(options, result, "\n".join(lines))
    return 1 if result.get("state") == "failed" else 0


# Tenants and tokens -------------------------------------------------------------------------------------------------


def _tenant_create(settings: Settings, options: argparse.Namespace) -> None:
    def job(connection: Connection) -> dict[str, Any]:
        tenant = tenants.create(connection, options.name, seat_limit=options.seats)
        connection_id = connections.create(connection, tenant, "Microsoft Entra ID")
        _, secret = connections.issue_token(connection, tenant, connection_id, label="first token")
        return {"tenant_id": tenant.id, "scim_url": _scim_url(settings), "token": secret}

    made = _in_transaction(settings, job)
    _print(
        options,
        made,
        f"Tenant {options.name} ({made['tenant_id']}).\n"
        f"Tenant URL    {made['scim_url']}\nSecret token  {made['token']}\n"
        "The secret is shown this once; paste both into the Entra enterprise application.",
    )


def _tenant_list(settings: Settings, options: argparse.Namespace) -> None:
    found = [asdict(tenant) for tenant in _reading(settings, tenants.all_of)]
    _print(options, found, "\n".join(f"{each['id']}  {each['name']}" for each in found) or "There is no tenant yet.")


def _tenant_show(settings: Settings, options: argparse.Namespace) -> None:
    tenant = asdict(_reading(settings, lambda connection: tenants.find(connection, options.tenant)))
    shown = {"tenant_id": tenant["id"], **tenant, "scim_url": _scim_url(settings)}
    _print(options, shown, "\n".join(f"{name:12} {value}" for name, value in shown.items()))


def _tenant_set(settings: Settings, options: argparse.Namespace) -> None:
    policies = {name: getattr(options, name) for name in POLICIES if getattr(options, name) is not None}
    if options.name is None and options.seats is None and not policies:
        raise Invalid("Nothing to change: give --name, --seats or a policy.")

    def job(connection: Connection) -> dict[str, Any]:
        tenant = tenants.find(connection, options.tenant)
        work = _work(connection, tenant)
        if options.name is not None or options.seats is not None:
            name = tenant.name if options.name is None else options.name
            limit = tenant.seat_limit if options.seats is None else _seats(options.seats)
            tenants.change(work, name=name, seat_limit=limit)
            seats.serve(work)
        if policies:
            administration.change_settings(work, policies)
        outbox.flush(work)
        return asdict(tenants.acting(work))

    changed = _in_transaction(settings, job)
    shown_seats = "unlimited" if changed["seat_limit"] is None else changed["seat_limit"]
    shown = "".join(f", {name.replace('_', '-')}: {changed[name]}" for name in POLICIES)
    _print(options, {"tenant_id": changed["id"], **changed}, f"Tenant {changed['name']}, seats: {shown_seats}{shown}.")


def _work(connection: Connection, tenant: Tenant) -> Work:
    """Give a unit of work of the operator in a tenant."""
    return Work(connection, tenant.id, "", Actor(Source.SYSTEM, "cli"), new_correlation_id(), clock.now())


def _seats(text: str) -> int | None:
    if text == "unlimited":
        return None
    try:
        return int(text)
    except ValueError:
        raise Invalid(f"--seats: '{text[:40]}' is neither a number nor 'unlimited'.") from None


def _tenant_delete(settings: Settings, options: argparse.Namespace) -> None:
    def job(connection: Connection) -> dict[str, Any]:
        tenant = tenants.find(connection, options.tenant)
        deletion.delete_tenant(connection, tenant)
        return {"tenant_id": tenant.id, "name": tenant.name, "deleted": True}

    gone = _in_transaction(settings, job)
    _print(options, gone, f"Tenant {gone['name']} and everything of it is gone.")


def _doctor(settings: Settings, options: argparse.Namespace) -> int:
    """Check what this process would start with; wrong settings have already been refused by name."""
    findings = [{"check": "settings", "ok": True, "detail": "all values can be used"}]
    if settings.public_url is None:
        detail = f"{PREFIX}PUBLIC_URL is not set: Entra needs the public https address of this server as Tenant URL"
        findings.append({"check": "public address", "ok": False, "detail": detail})
    elif settings.public_url.startswith("http://"):
        detail = f"{settings.public_url} is not https: Entra only connects over TLS 1.2 or newer"
        findings.append({"check": "public address", "ok": False, "detail": detail})
    else:
        findings.append({"check": "public address", "ok": True, "detail": settings.public_url})
    try:
        known = _reading(settings, tenants.all_of)
        detail = f"{'SQLite' if is_sqlite(settings.database_url) else 'PostgreSQL'}, {len(known)} tenants"
        findings.append({"check": "database", "ok": True, "detail": detail})
    except DomainError as error:
        findings.append({"check": "database", "ok": False, "detail": error.sentence})
    lines = [f"{'ok  ' if each['ok'] else 'mend'}  {each['check']}: {each['detail']}" for each in findings]
    _print(options, findings, "\n".join(lines))
    return 0 if all(each["ok"] for each in findings) else 1


def _token_create(settings: Settings, options: argparse.Namespace) -> None:
    def job(connection: Connection) -> dict[str, Any]:
        tenant = tenants.find(connection, options.tenant)
        expires_at = None if options.expires is None else clock.later(options.expires)
        token_id, secret = connections.issue_token(
            connection, tenant, connections.first_of(connection, tenant), label=options.label, expires_at=expires_at
        )
        return {"token_id": token_id, "token": secret, "expires_at": expires_at}

    made = _in_transaction(settings, job)
    _print(
        options, made, f"Secret token  {made['token']}\nThe secret is shown this once. Others of the tenant stay valid."
    )


def _token_list(settings: Settings, options: argparse.Namespace) -> None:
    def job(connection: Connection) -> list[dict[str, Any]]:
        return [asdict(token) for token in connections.tokens_of(connection, tenants.find(connection, options.tenant))]

    found = _reading(settings, job)
    lines = [f"{each['id']}  {each['hint']}…  {_life(each)}" for each in found]
    _print(options, found, "\n".join(lines) or "The tenant has no token.")


def _life(secret: dict[str, Any]) -> str:
    """Say how a secret stands, in the columns of a list."""
    return (
        f"{'revoked' if secret['revoked_at'] else 'live':8} last used {secret['last_used_at'] or 'never'}  "
        f"expires {secret['expires_at'] or 'never'}  {secret['label']}"
    )


def _token_revoke(settings: Settings, options: argparse.Namespace) -> None:
    def job(connection: Connection) -> None:
        connections.revoke_token(connection, tenants.find(connection, options.tenant), options.token_id)

    _in_transaction(settings, job)
    _print(options, {"token_id": options.token_id, "revoked": True}, "The secret is no longer valid.")


# API keys -----------------------------------------------------------------------------------------------------------


def _api_key_create(settings: Settings, options: argparse.Namespace) -> None:
    def job(connection: Connection) -> dict[str, Any]:
        tenant, scope = tenants.find(connection, options.tenant), KeyScope(options.scope)
        expires_at = None if options.expires is None else clock.later(options.expires)
        key_id, secret = api_keys.issue(connection, tenant, scope, label=options.label, expires_at=expires_at)
        return {"api_key_id": key_id, "api_key": secret, "scope": scope, "expires_at": expires_at}

    made = _in_transaction(settings, job)
    _print(
        options,
        made,
        f"API key  {made['api_key']}  ({made['scope']})\nThe key is shown this once. Others of the tenant stay valid.",
    )


def _api_key_list(settings: Settings, options: argparse.Namespace) -> None:
    def job(connection: Connection) -> list[dict[str, Any]]:
        return [asdict(key) for key in api_keys.all_of(connection, tenants.find(connection, options.tenant))]

    found = _reading(settings, job)
    lines = [f"{each['id']}  {each['hint']}…  {each['scope']:5}  {_life(each)}" for each in found]
    _print(options, found, "\n".join(lines) or "The tenant has no API key.")


def _api_key_revoke(settings: Settings, options: argparse.Namespace) -> None:
    def job(connection: Connection) -> None:
        api_keys.revoke(connection, tenants.find(connection, options.tenant), options.key_id)

    _in_transaction(settings, job)
    _print(options, {"api_key_id": options.key_id, "revoked": True}, "The API key is no longer valid.")


# Administrators -----------------------------------------------------------------------------------------------------


def _admin_create(settings: Settings, options: argparse.Namespace) -> None:
    def job(connection: Connection) -> tuple[Account, str]:
        if options.tenant is None:
            account = administrators.add_operator(connection, options.email)
        else:
            account = administrators.add(_work(connection, tenants.find(connection, options.tenant)), options.email)
        return account, administrators.link_for(connection, account, clock.now())

    _print_link(settings, options, *_in_transaction(settings, job))


def _admin_link(settings: Settings, options: argparse.Namespace) -> None:
    def job(connection: Connection) -> tuple[Account, str]:
        account = _account(connection, options)
        return account, administrators.link_for(connection, account, clock.now())

    _print_link(settings, options, *_in_transaction(settings, job))


def _print_link(settings: Settings, options: argparse.Namespace, account: Account, secret: str) -> None:
    link, seconds = f"{_public_url(settings)}{SIGN_IN_PATH}{secret}", account.link_seconds
    shown = {"admin_id": account.id, "kind": account.kind, "email": account.email, "tenant_id": account.tenant_id}
    span = f"{seconds / 3600:.0f} hours" if seconds > 3600 else f"{seconds / 60:.0f} minutes"
    _print(
        options,
        {**shown, "sign_in_link": link, "expires_in_seconds": int(seconds)},
        f"{account.kind.capitalize()} {account.email} ({account.id}).\nSign-in link  {link}\n"
        f"It is shown this once and signs in once, within {span}. `admin link` makes another.",
    )


def _admin_list(settings: Settings, options: argparse.Namespace) -> None:
    def job(connection: Connection) -> list[dict[str, Any]]:
        if options.tenant is not None:
            return _administrators(connection, tenants.find(connection, options.tenant))
        found = [{**each._asdict(), "tenant": None} for each in administrators.operators(connection)]
        return [*found, *[row for each in tenants.all_of(connection) for row in _administrators(connection, each)]]

    found = _reading(settings, job)
    lines = [
        f"{each['id']}  {each['kind']:13}  {each['email']}  {each['tenant'] or 'all tenants'}  "
        f"last signed in {each['signed_in_at'] or 'never'}{'  Microsoft linked' if each['microsoft'] else ''}"
        for each in found
    ]
    _print(options, found, "\n".join(lines) or "There is nobody yet: `admin create EMAIL` adds somebody.")


def _administrators(connection: Connection, tenant: Tenant) -> list[dict[str, Any]]:
    return [{**each._asdict(), "tenant": tenant.name} for each in administrators.list_of(_work(connection, tenant))]


def _admin_revoke(settings: Settings, options: argparse.Namespace) -> None:
    def job(connection: Connection) -> Account:
        account = _account(connection, options)
        if account.tenant_id is None:
            administrators.remove_operator(connection, account.id, actor_id="cli")
        else:
            administrators.remove(_work(connection, tenants.find(connection, account.tenant_id)), account.id)
        return account

    gone = _in_transaction(settings, job)
    shown = {"admin_id": gone.id, "email": gone.email, "tenant_id": gone.tenant_id, "revoked": True}
    _print(options, shown, f"{gone.kind.capitalize()} {gone.email} cannot sign in any more; all sessions have ended.")


def _account(connection: Connection, options: argparse.Namespace) -> Account:
    if options.tenant is None:
        return administrators.find_operator(connection, options.email)
    return administrators.find_by_email(_work(connection, tenants.find(connection, options.tenant)), options.email)


ADMIN_ACTIONS = {
    "create": (_admin_create, "add an operator, or an administrator of a tenant, with a one-time sign-in link"),
    "list": (_admin_list, "list who may use the console"),
    "link": (_admin_link, "make another one-time sign-in link"),
    "revoke": (_admin_revoke, "take somebody's access away at once: sessions and links end"),
}


def _public_url(settings: Settings) -> str:
    return settings.public_url or "http://127.0.0.1:8000"


def _scim_url(settings: Settings) -> str:
    return f"{_public_url(settings)}/scim/v2"


def _in_transaction(settings: Settings, job: Callable[[Connection], T]) -> T:
    return _on_database(settings, lambda database: database.write(job))


def _reading(settings: Settings, job: Callable[[Connection], T]) -> T:
    """Run a job that only reads: it neither waits for the server's writes nor makes them wait."""
    return _on_database(settings, lambda database: database.read(job))


def _on_database(settings: Settings, job: Callable[[Database], Awaitable[T]]) -> T:
    _upgrade(settings)

    async def run() -> T:
        database = await open_database(settings.database_url)
        try:
            return await job(database)
        finally:
            await database.close()

    return asyncio.run(run())


def _upgrade(settings: Settings) -> None:
    try:
        upgrade(settings.database_url)
    except (OSError, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise Invalid(f"{PREFIX}DATABASE_URL: the database cannot be used: {cause}") from error


def _print(options: argparse.Namespace, value: Any, text: str) -> None:
    print(json.dumps(value, indent=2) if options.json else text)


if __name__ == "__main__":
    sys.exit(main())
