"""The provisioning log: one row for each write and each refusal, with all that an administrator needs, and no value."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sqlalchemy import bindparam, func, select, update

from app_core import clock, connections, provisioning_log
from app_core.db import Connection, Statement
from app_core.directory import U
from app_core.provisioning_log import MASK, Entry, Outcome
from app_core.tenants import find
from tests.builders import ENTERPRISE_USER, a_group, a_user, create_group, create_user, patch
from tests.processes import Customer, in_core, log_of, new_customer

if TYPE_CHECKING:
    from tests.conftest import Server

BULK_REQUEST = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
SEARCH_REQUEST = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

Row = dict[str, Any]


@pytest.fixture
def customer(server: Server) -> Customer:
    """A tenant that no other test knows."""
    return new_customer(server.database_url)


@pytest.fixture
def scim(server: Server, customer: Customer) -> Iterator[httpx.Client]:
    """A client with the tenant's token."""
    with customer.client(f"{server.url}/scim/v2") as client:
        yield client


class Log:
    """The tenant's log; what a test has seen is not shown again."""

    def __init__(self, server: Server, customer: Customer) -> None:
        self.server = server
        self.customer = customer
        self.seen = 0

    def new(self) -> list[Row]:
        """Give the entries since the last time, oldest first."""
        rows = log_of(self.server.database_url, self.customer)[::-1]
        fresh, self.seen = rows[self.seen :], len(rows)
        return fresh

    def one(self, answer: httpx.Response) -> Row:
        """Give the only new entry, with all that is true of every entry of an answer."""
        [row] = self.new()
        assert answer.headers["x-request-id"] == row["correlation_id"]
        assert answer.status_code == row["status"]
        assert ("scim", self.customer.token_id) == (row["source"], row["actor"])
        assert self.customer.tenant_id == row["tenant_id"]
        assert self.customer.connection_id == row["connection_id"]
        assert STAMP.fullmatch(row["at"])
        assert 0 < row["duration_us"] < 60_000_000
        assert answer.request.method == row["exchange"]["request"]["method"]
        assert answer.status_code == row["exchange"]["response"]["status"]
        return row


@pytest.fixture
def log(server: Server, customer: Customer) -> Log:
    return Log(server, customer)


def summary(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("action", "target_type", "target_id", "outcome", "reason_code", "reason"))


# ── What was carried out ────────────────────────────────────────────────────────────────────────────────────────────


def test_each_write_of_a_user(scim: httpx.Client, log: Log) -> None:
    """Create, replace, update and delete leave one row each: who, what, whom, what of it changed."""
    body = a_user(1)
    answer = scim.post("Users", json=body)
    user = answer.json()["id"]
    row = log.one(answer)
    assert ("create", "User", user, "success", None, None) == summary(row)
    assert sorted(set(body) - {"schemas", "meta", "roles"}) == sorted(row["changed"])

    answer = scim.put(f"Users/{user}", json={**body, "title": "Guide", "nickName": "Babs", "phoneNumbers": []})
    row = log.one(answer)
    assert ("replace", "User", user, "success", None, None) == summary(row)
    assert ["nickName", "phoneNumbers", "title"] == sorted(row["changed"])

    answer = scim.patch(
        f"Users/{user}",
        json=patch(
            {"op": "Replace", "path": "name.familyName", "value": "Smith"},
            {"op": "Add", "path": f"{ENTERPRISE_USER}:costCenter", "value": "C9"},
            {"op": "Remove", "path": "nickName"},
            {"op": "Replace", "path": "active", "value": "False"},
            {"op": "Replace", "path": "title", "value": "Guide"},
        ),
    )
    row = log.one(answer)
    assert ("update", "User", user, "success", None, None) == summary(row)
    assert sorted(["name", f"{ENTERPRISE_USER}:costCenter", "nickName", "active"]) == sorted(row["changed"])

    answer = scim.delete(f"Users/{user}")
    row = log.one(answer)
    assert ("delete", "User", user, "success", None, None) == summary(row)
    assert [] == row["changed"]


def test_each_write_of_a_group(scim: httpx.Client, log: Log) -> None:
    """Groups likewise; members are named as an attribute, never listed."""
    users = [create_user(scim, n)["id"] for n in range(3)]
    log.new()
    answer = scim.post("Groups", json=a_group("Design", members=[{"value": users[0]}]))
    group = answer.json()["id"]
    row = log.one(answer)
    assert ("create", "Group", group, "success", None, None) == summary(row)
    assert ["displayName", "externalId", "members"] == sorted(row["changed"])

    members = [{"value": each} for each in users]
    answer = scim.patch(f"Groups/{group}", json=patch({"op": "Add", "path": "members", "value": members}))
    row = log.one(answer)
    assert ("update", "Group", group, "success", None, None) == summary(row)
    assert ["members"] == row["changed"]

    answer = scim.patch(f"Groups/{group}", json=patch({"op": "Replace", "path": "displayName", "value": "New"}))
    assert ["displayName"] == log.one(answer)["changed"]

    answer = scim.put(f"Groups/{group}", json=a_group("Newer", externalId=answer.request.headers["host"]))
    row = log.one(answer)
    assert ("replace", "Group", group, "success", None, None) == summary(row)
    assert ["displayName", "externalId", "members"] == sorted(row["changed"])

    answer = scim.delete(f"Groups/{group}")
    assert ("delete", "Group", group, "success", None, None) == summary(log.one(answer))


def test_what_was_so_already_is_skipped(scim: httpx.Client, log: Log) -> None:
    """A repeated change is a success to the client and `skipped` in the log."""
    body = a_user(1)
    user = scim.post("Users", json=body).json()["id"]
    group = create_group(scim)["id"]
    join = patch({"op": "Add", "path": "members", "value": [{"value": user}]})
    scim.patch(f"Groups/{group}", json=join)
    log.new()
    repeated = [
        ("replace", "User", scim.put, f"Users/{user}", body),
        ("update", "User", scim.patch, f"Users/{user}", patch({"op": "Add", "path": "active", "value": "True"})),
        ("update", "Group", scim.patch, f"Groups/{group}", join),
        (
            *("update", "Group", scim.patch, f"Groups/{group}"),
            patch({"op": "Remove", "path": f'members[value eq "{uuid.uuid4()}"]'}),
        ),
    ]
    for action, kind, send, path, sent in repeated:
        row = log.one(send(path, json=sent))

        assert (action, kind, path.partition("/")[2]) == (row["action"], row["target_type"], row["target_id"])
        assert ("skipped", None, "Everything was so already.") == (
            row["outcome"],
            row["reason_code"],
            row["reason"],
        )
        assert [] == row["changed"]


def test_a_password_is_named_and_not_shown(scim: httpx.Client, log: Log) -> None:
    """That a password was set is in the log; which one is not."""
    user = create_user(scim, 1)["id"]
    log.new()

    answer = scim.patch(f"Users/{user}", json=patch({"op": "Replace", "path": "password", "value": "tr0ub4dor-9"}))

    row = log.one(answer)
    assert ("success", ["password"]) == (row["outcome"], row["changed"])
    assert MASK == row["exchange"]["request"]["body"]["Operations"][0]["value"]
    assert "tr0ub4dor" not in repr(row)


def test_reads_leave_no_entry(scim: httpx.Client, log: Log) -> None:
    """Reading is no change, and Entra reads before each write."""
    user = create_user(scim, 1)["id"]
    log.new()
    for path in ("Users", f"Users/{user}", "Groups", "Schemas", "ServiceProviderConfig", "ResourceTypes"):
        assert 200 == scim.get(path).status_code
    assert 200 == scim.post("Users/.search", json={"schemas": [SEARCH_REQUEST]}).status_code

    assert [] == log.new()


def test_an_unknown_attribute_is_a_warning_that_names_it(scim: httpx.Client, log: Log) -> None:
    """A stray mapping never sinks a change, and the log says what was left out."""
    made = scim.post("Users", json=a_user(1, shoeSize="43", name={"familyName": "J", "shoe": "left"}))
    user = made.json()["id"]
    row = log.one(made)
    assert ("create", "warning", "unknownAttribute") == (row["action"], row["outcome"], row["reason_code"])
    assert "shoeSize" in row["reason"]
    assert "name.shoe" in row["reason"]

    changed = scim.patch(
        f"Users/{user}",
        json=patch(
            {"op": "Add", "path": "shoeSize", "value": "44"},
            {"op": "Add", "path": f"{ENTERPRISE_USER}:hatSize", "value": "60"},
            {"op": "Replace", "path": "title", "value": "Chief"},
        ),
    )
    row = log.one(changed)
    assert (200, "warning", "unknownAttribute") == (row["status"], row["outcome"], row["reason_code"])
    assert "shoeSize" in row["reason"]
    assert f"{ENTERPRISE_USER}:hatSize" in row["reason"]
    assert ["title"] == row["changed"]

    group = scim.post("Groups", json={**a_group("Design"), "colour": "red"})
    row = log.one(group)
    assert ("Group", "warning", "unknownAttribute") == (row["target_type"], row["outcome"], row["reason_code"])
    assert "colour" in row["reason"]


# ── What was refused ────────────────────────────────────────────────────────────────────────────────────────────────


def refusals(user: str, group: str) -> dict[str, tuple[str, str, Any, dict[str, str], tuple[Any, ...]]]:
    """Give requests that are refused: method, path, body, headers → action, type, target, status, reason code."""
    unknown = str(uuid.uuid4())
    to_title = patch({"op": "Replace", "path": "title", "value": "x"})
    return {
        "a taken userName": ("POST", "Users", a_user(1), {}, ("create", "User", None, 409, "uniqueness")),
        "no userName": (
            *("POST", "Users", {"schemas": [], "displayName": "x"}, {}),
            ("create", "User", None, 400, "invalidValue"),
        ),
        "no boolean": (
            *("POST", "Users", a_user(2, active="perhaps"), {}),
            ("create", "User", None, 400, "invalidValue"),
        ),
        "no JSON": ("POST", "Users", b'{"userName": ', {}, ("create", "User", None, 400, "invalidSyntax")),
        "no body": ("POST", "Groups", b"", {}, ("create", "Group", None, 400, "invalidSyntax")),
        "another media type": (
            *("POST", "Users", b"<user/>", {"Content-Type": "text/xml"}),
            ("create", "User", None, 415, "http415"),
        ),
        "a large body": ("POST", "Users", b" " * 8_400_000, {}, ("create", "User", None, 413, "http413")),
        "a user that is not there": (
            *("PATCH", f"Users/{unknown}", to_title, {}),
            ("update", "User", unknown, 404, "http404"),
        ),
        "a delete of nobody": ("DELETE", f"Users/{unknown}", None, {}, ("delete", "User", unknown, 404, "http404")),
        "a replace of no group": (
            *("PUT", f"Groups/{unknown}", a_group("x"), {}),
            ("replace", "Group", unknown, 404, "http404"),
        ),
        "an old version": (
            *("PATCH", f"Users/{user}", to_title, {"If-Match": 'W/"99"'}),
            ("update", "User", user, 412, "http412"),
        ),
        "a read-only attribute": (
            *("PATCH", f"Users/{user}", patch({"op": "Replace", "path": "id", "value": "x"}), {}),
            ("update", "User", user, 400, "mutability"),
        ),
        "only an unknown attribute": (
            *("PATCH", f"Users/{user}", patch({"op": "Replace", "path": "shoeSize", "value": "43"}), {}),
            ("update", "User", user, 400, "invalidPath"),
        ),
        "an operation that is none": (
            *("PATCH", f"Users/{user}", patch({"op": "Grow", "path": "title", "value": "x"}), {}),
            ("update", "User", user, 400, "invalidSyntax"),
        ),
        "an unknown member": (
            *("PATCH", f"Groups/{group}"),
            patch({"op": "Add", "path": "members", "value": [{"value": user}, {"value": unknown}]}),
            *({}, ("update", "Group", group, 400, "invalidValue")),
        ),
        "a taken group name": (
            *("POST", "Groups", a_group("Design", externalId=None), {}),
            ("create", "Group", None, 409, "uniqueness"),
        ),
        "a filter that is none": (
            "GET",
            "Users?filter=title+eq",
            None,
            {},
            ("find", "User", None, 400, "invalidFilter"),
        ),
        "a read of nobody": ("GET", f"Users/{unknown}", None, {}, ("read", "User", unknown, 404, "http404")),
        "a bulk request that is none": (
            *("POST", "Bulk", {"Operations": []}, {}),
            ("bulk", "Bulk", None, 400, "invalidSyntax"),
        ),
    }


@pytest.mark.parametrize("case", refusals("", ""))
def test_each_refusal_leaves_one_row_and_nothing_else(scim: httpx.Client, log: Log, case: str) -> None:
    """A refused request is one `failure` with its status, code and sentence; nothing of it is stored."""
    user = create_user(scim, 1)["id"]
    group = create_group(scim, "Design")["id"]
    method, path, body, headers, expected = refusals(user, group)[case]
    before = [scim.get("Users").json(), scim.get("Groups").json()]
    log.new()
    sent: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body} if body else {}

    answer = scim.request(method, path, headers=headers, **sent)

    row = log.one(answer)
    action, kind, _, status, code = expected
    target = {"Users": user, "Groups": group}.get(path.partition("/")[0])
    if expected[2] not in (None, user, group):
        target = path.partition("/")[2]  # an id that is not there
    if "/" not in path:
        target = None
    assert (action, kind, target, status, code) == (
        *(row["action"], row["target_type"], row["target_id"]),
        *(row["status"], row["reason_code"]),
    )
    assert "failure" == row["outcome"]
    assert unquoted(answer.json()["detail"]) == unquoted(row["reason"])
    assert [] == row["changed"]
    assert before == [scim.get("Users").json(), scim.get("Groups").json()]


def test_an_internal_error_leaves_its_row(server: Server, scim: httpx.Client, customer: Customer, log: Log) -> None:
    """What fails on our side is in the log too, with the id under which its operator finds more."""
    user = create_user(scim, 1)["id"]
    log.new()
    statement = Statement(
        update(U)
        .where(U.c.tenant_id == bindparam("tenant_id"), U.c.id == bindparam("user_id"))
        .values(document=bindparam("document"))
    )
    params = {"tenant_id": customer.tenant_id, "user_id": user, "document": b"spoilt"}
    in_core(
        server.database_url,
        lambda database: database.write(lambda connection: connection.run(statement, params)),
    )

    answer = scim.patch(f"Users/{user}", json=patch({"op": "Replace", "path": "title", "value": "x"}))

    row = log.one(answer)
    assert (500, "failure", "http500", user) == (
        row["status"],
        row["outcome"],
        row["reason_code"],
        row["target_id"],
    )
    assert row["correlation_id"] in row["reason"]


def test_without_a_valid_token_nothing_is_logged(
    server: Server, scim: httpx.Client, customer: Customer, log: Log
) -> None:
    """Who has no token has no tenant: no row anywhere, whatever is asked and however malformed it is."""
    create_user(scim, 1)

    def revoke(connection: Connection) -> None:
        tenant = find(connection, customer.tenant_id)
        token_id, secret = connections.issue_token(connection, tenant, customer.connection_id)
        connections.revoke_token(connection, tenant, token_id)
        revoked.append(secret)

    revoked: list[str] = []
    in_core(server.database_url, lambda database: database.write(revoke))
    everywhere = all_rows(server)
    for headers in (
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer scim_unknown"},
        {"Authorization": f"Bearer {revoked[0]}"},
        {"Authorization": f"Basic {customer.token}"},
    ):
        for request in (
            scim.build_request("POST", "Users", json=a_user(2), headers=headers),
            scim.build_request("POST", "Users", content=b"{", headers=headers),
            scim.build_request("DELETE", f"Users/{uuid.uuid4()}", headers=headers),
            scim.build_request("POST", "Bulk", json={}, headers=headers),
        ):
            assert 401 == scim.send(request).status_code

    assert everywhere == all_rows(server)
    assert 1 == len(log.new())


def all_rows(server: Server) -> int:
    """Count the entries of all tenants."""
    statement = Statement(select(func.count()).select_from(provisioning_log.L))
    row = in_core(server.database_url, lambda database: database.read(lambda connection: connection.row(statement, {})))
    assert row is not None
    return int(row[0])


# ── Correlation ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["x-request-id", "client-request-id", "x-ms-client-request-id"])
def test_the_clients_own_request_id_is_kept(scim: httpx.Client, log: Log, name: str) -> None:
    """Both sides find one request under the id that the client gave it, carried out or refused."""
    ids = [str(uuid.uuid4()), str(uuid.uuid4())]

    made = scim.post("Users", json=a_user(1), headers={name: ids[0]})
    refused = scim.post("Users", json=a_user(1), headers={name: ids[1]})

    assert ids == [made.headers["x-request-id"], refused.headers["x-request-id"]]
    assert [(ids[0], 201), (ids[1], 409)] == [(row["correlation_id"], row["status"]) for row in log.new()]


@pytest.mark.parametrize("given", ["a" * 65, "no blanks here", "line\tbreak", "<script>", "ä", ""])
def test_an_id_that_is_no_plain_one_is_replaced(scim: httpx.Client, log: Log, given: str) -> None:
    """What is not plain stays out of log and headers."""
    answer = scim.post("Users", json=a_user(1), headers=[(b"x-request-id", given.encode("latin-1"))])

    row = log.one(answer)
    assert given != row["correlation_id"]
    assert re.fullmatch(r"[0-9a-z-]{8,64}", row["correlation_id"])


def test_ids_are_never_used_twice(scim: httpx.Client, log: Log) -> None:
    """Each answer has an id of its own."""
    ids = [scim.post("Users", json=a_user(n)).headers["x-request-id"] for n in range(50)]

    assert 50 == len(set(ids))
    assert sorted(ids) == sorted(row["correlation_id"] for row in log.new())


# ── Masking ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def unquoted(sentence: str) -> str:
    """Leave out what a sentence quotes of a request: the log masks what may be personal of it."""
    return re.sub(r"'[^']*'", "''", sentence)


PERSONAL = ["zwiebelfisch", "quetzal", "8675309", "xylophon", "gartenweg", "tr0ub4dor", "hans-peter"]


def a_person(**changes: Any) -> dict[str, Any]:
    """Build a user all of whose values would be recognised."""
    return {
        **a_user(1),
        "userName": "zwiebelfisch@contoso.com",
        "externalId": "hans-peter",
        "displayName": "Quetzal Zwiebelfisch",
        "title": "Xylophonist",
        "name": {"givenName": "Quetzal", "familyName": "Zwiebelfisch", "formatted": "Quetzal Zwiebelfisch"},
        "emails": [{"primary": True, "type": "work", "value": "zwiebelfisch@contoso.com"}],
        "phoneNumbers": [{"type": "mobile", "value": "+49 8675309"}],
        "addresses": [{"type": "home", "streetAddress": "Gartenweg 1", "formatted": "Gartenweg 1"}],
        "password": "tr0ub4dor",
        ENTERPRISE_USER: {"department": "Xylophon", "employeeNumber": "8675309", "manager": {"value": "hans-peter"}},
        **changes,
    }


def held(rows: list[Row]) -> list[str]:
    """Name the personal values that entries hold."""
    text = repr(rows).lower()
    return [value for value in PERSONAL if value in text]


def test_the_exchange_shows_the_shape_and_no_value(scim: httpx.Client, log: Log) -> None:
    """Keys, ids, types and flags are there to recognise a mapping by; every other text is masked."""
    answer = scim.post("Users", json=a_person())
    row = log.one(answer)

    body = row["exchange"]["request"]["body"]
    assert [] == held([row])
    assert set(a_person()) == set(body)
    assert a_person()["schemas"] == body["schemas"]
    assert [{"primary": True, "type": "work", "value": MASK}] == body["emails"]
    assert {"type": "mobile", "value": MASK} == body["phoneNumbers"][0]
    assert True is body["active"]
    assert {"department": MASK, "employeeNumber": MASK, "manager": {"value": MASK}} == body[ENTERPRISE_USER]

    group = create_group(scim)["id"]
    log.new()
    member = answer.json()["id"]
    joined = scim.patch(f"Groups/{group}", json=patch({"op": "Add", "path": "members", "value": [{"value": member}]}))
    operation = log.one(joined)["exchange"]["request"]["body"]["Operations"][0]
    assert {"op": "Add", "path": "members", "value": [{"value": member}]} == operation


def test_values_in_paths_are_masked(scim: httpx.Client, log: Log) -> None:
    """A PATCH path keeps its attribute and its type, and loses the value that it selects by."""
    user = scim.post("Users", json=a_person()).json()["id"]
    log.new()
    mail = "zwiebelfisch@contoso.com"
    answer = scim.patch(
        f"Users/{user}",
        json=patch(
            {"op": "Replace", "path": f'emails[value eq "{mail}"].display', "value": "Quetzal"},
            {"op": "Replace", "path": 'emails[type eq "work"].value', "value": mail},
        ),
    )

    row = log.one(answer)
    paths = [each["path"] for each in row["exchange"]["request"]["body"]["Operations"]]
    assert [f'emails[value eq "{MASK}"].display', 'emails[type eq "work"].value'] == paths
    assert [] == held([row])


MAIL = "zwiebelfisch@contoso.com"
HIDING = {
    "a taken userName": ("POST", "Users", a_person()),
    "a value of the wrong type": ("POST", "Users", a_person(userName="other", emails="Zwiebelfisch")),
    "text for a boolean": ("POST", "Users", a_person(userName="other", active="Zwiebelfisch")),
    "an e-mail as id": ("PATCH", f"Users/{MAIL}", patch({"op": "Add", "path": "title", "value": "x"})),
    "an e-mail as member": (
        *("PATCH", "Groups/{group}"),
        patch({"op": "Add", "path": "members", "value": [{"value": MAIL}]}),
    ),
    "a key that is a value path": (
        *("PATCH", "Users/{id}"),
        patch({"op": "Add", "value": {f'emails[value eq "{MAIL}"].display': "Quetzal"}}),
    ),
    "a path without quotes": (
        *("PATCH", "Users/{id}"),
        patch({"op": "Add", "path": f"emails[value eq {MAIL}].display", "value": "Quetzal"}),
    ),
    "a path with escaped quotes": (
        *("PATCH", "Users/{id}"),
        patch({"op": "Add", "path": 'emails[value eq "a\\" Zwiebelfisch \\"b"].display', "value": "x"}),
    ),
    "a filter that is refused": ("GET", f'Users?filter=userName eq "{MAIL}" and', None),
    "a filter without quotes": ("GET", f"Users?filter=userName eq {MAIL} and", None),
    "a filter that never closes": ("GET", f'Users?filter=userName eq "{MAIL}', None),
    "another parameter": ("GET", f"Users?filter=x&user={MAIL}", None),
    "a body that is no JSON": ("POST", "Users", b'{"userName": "zwiebelfisch'),
    "a value in a plain field": ("POST", "Users", a_person(id=MAIL, userName="", schemas=[MAIL])),
    "a search that is refused": (
        "POST",
        "Users/.search",
        {"schemas": [SEARCH_REQUEST], "filter": f'userName eq "{MAIL}" and'},
    ),
    "a group of a taken name": ("POST", "Groups", a_group("Xylophon", externalId=None)),
}


@pytest.mark.parametrize("case", HIDING)
def test_no_entry_holds_a_personal_value(scim: httpx.Client, log: Log, case: str) -> None:
    """However a value is wrapped, carried out or refused, it does not come into the exchange."""
    ids = {"id": scim.post("Users", json=a_person()).json()["id"], "group": create_group(scim, "Xylophon")["id"]}
    log.new()
    method, path, body = HIDING[case]
    for name, value in ids.items():
        path = path.replace(f"{{{name}}}", value)
    sent: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body} if body else {}

    scim.request(method, path, **sent)

    rows = log.new()
    assert 1 == len(rows)
    assert [] == held([row["exchange"] for row in rows])


def test_no_entry_holds_a_token(scim: httpx.Client, customer: Customer, log: Log) -> None:
    """A token that strays into a body, a filter or a parameter is masked like any text."""
    token = customer.token
    scim.post("Users", json=a_user(1, nickName=token))
    scim.post("Users", json=a_user(1, emails=token))
    scim.get("Users", params={"filter": "x", "access_token": token})
    scim.get("Users", params={"filter": f"userName eq {token} and"})

    rows = log.new()
    assert 4 == len(rows)
    assert token not in repr(rows)


def test_large_requests_leave_small_entries(scim: httpx.Client, log: Log) -> None:
    """Thousands of members are cut short, a huge body is only measured."""
    group = create_group(scim)["id"]
    log.new()
    members = [{"value": str(uuid.UUID(int=n))} for n in range(1000)]
    cut = log.one(scim.patch(f"Groups/{group}", json=patch({"op": "Remove", "path": "members", "value": members})))
    measured = log.one(scim.post("Users", json=a_user(1, title="x" * 100_000)))

    shown = cut["exchange"]["request"]["body"]
    assert len(repr(shown)) < 6000
    assert re.fullmatch(r"\d+ bytes", measured["exchange"]["request"]["body"])


# ── Bulk ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_bulk_leaves_a_row_for_each_operation(scim: httpx.Client, customer: Customer, log: Log) -> None:
    """Carried out, skipped or refused: each operation has its row, all under the id of the request."""
    taken = create_user(scim, 1)["id"]
    log.new()
    operations = [
        {"method": "POST", "path": "/Users", "bulkId": "new", "data": a_user(2)},
        {"method": "POST", "path": "/Users", "bulkId": "taken", "data": a_user(1)},
        {"method": "PATCH", "path": f"/Users/{taken}", "data": patch({"op": "Add", "path": "title", "value": "T"})},
        {
            "method": "PATCH",
            "path": f"/Users/{taken}",
            "data": patch({"op": "Add", "path": "title", "value": "T"}),
        },
        {"method": "POST", "path": "/Groups", "bulkId": "g", "data": a_group("G", members=[{"value": "bulkId:new"}])},
        {"method": "DELETE", "path": f"/Users/{uuid.UUID(int=7)}"},
        {"method": "DELETE", "path": f"/Users/{taken}"},
        {"method": "POST", "path": "/Users", "bulkId": "odd", "data": a_user(3, shoeSize="43")},
    ]

    answer = scim.post("Bulk", json={"schemas": [BULK_REQUEST], "Operations": operations})

    reports = answer.json()["Operations"]
    rows = log.new()
    made = {each.get("bulkId"): each["location"].rpartition("/")[2] for each in reports if each["status"] == "201"}
    unknown = str(uuid.UUID(int=7))
    expected = [
        ("POST", "create", "User", made["new"], 201, "success", None),
        ("POST", "create", "User", None, 409, "failure", "uniqueness"),
        ("PATCH", "update", "User", taken, 200, "success", None),
        ("PATCH", "update", "User", taken, 200, "skipped", None),
        ("POST", "create", "Group", made["g"], 201, "success", None),
        ("DELETE", "delete", "User", unknown, 404, "failure", "http404"),
        ("DELETE", "delete", "User", taken, 204, "success", None),
        ("POST", "create", "User", made["odd"], 201, "warning", "unknownAttribute"),
    ]
    assert [str(each[4]) for each in expected] == [each["status"] for each in reports]
    # Entries of one millisecond have no order among themselves.
    assert sorted(expected, key=repr) == sorted(map(shape, rows), key=repr)
    assert {answer.headers["x-request-id"]} == {row["correlation_id"] for row in rows}
    assert {customer.token_id} == {row["actor"] for row in rows}


def shape(row: Row) -> tuple[Any, ...]:
    # A create that is refused has no target; the id that bulk had given out in advance names nothing.
    target = None if (row["action"], row["outcome"]) == ("create", "failure") else row["target_id"]
    exchange = row["exchange"]
    return (
        *(exchange["request"]["method"], row["action"], row["target_type"], target),
        *(exchange["response"]["status"], row["outcome"], row["reason_code"]),
    )


def test_bulk_logs_no_success_that_was_taken_back(scim: httpx.Client, log: Log) -> None:
    """A group that is undone because its circle cannot be closed is a failure in the log too, like its neighbour."""
    operations = [
        {
            "method": "POST",
            "path": "/Groups",
            "bulkId": "a",
            "data": a_group("", members=[{"value": "bulkId:b"}]),
        },
        {
            "method": "POST",
            "path": "/Groups",
            "bulkId": "b",
            "data": a_group("B", members=[{"value": "bulkId:a"}]),
        },
    ]

    answer = scim.post("Bulk", json={"schemas": [BULK_REQUEST], "Operations": operations})

    rows = log.new()
    assert 0 == scim.get("Groups").json()["totalResults"]
    assert {"409", "400"} == {each["status"] for each in answer.json()["Operations"]}
    assert [("failure", 400), ("failure", 409)] == sorted((row["outcome"], row["status"]) for row in rows)


def test_bulk_that_fails_as_a_whole_leaves_a_row(scim: httpx.Client, log: Log) -> None:
    """A bulk request over the limit is refused before any operation: one failure says so."""
    operations = [{"method": "DELETE", "path": f"/Users/{n}"} for n in range(1001)]

    answer = scim.post("Bulk", json={"schemas": [BULK_REQUEST], "Operations": operations})

    assert 413 == answer.status_code
    assert ("bulk", "Bulk", None, "failure") == summary(log.one(answer))[:4]


# ── Reading it ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pages_go_from_the_newest_to_the_oldest(server: Server, customer: Customer) -> None:
    """Pages join without gap and overlap, and show this tenant only."""
    other = new_customer(server.database_url)

    def fill(connection: Connection) -> None:
        for n in range(25):
            for each in (customer, other):
                entry = Entry(f"step {n}", "User", each.tenant_id, Outcome.SUCCESS, 200, changed=["a", "b"])
                provisioning_log.record(each.work(connection), entry)

    def pages(connection: Connection) -> list[Row]:
        work, found = customer.work(connection), list[Row]()
        while page := provisioning_log.page(work, limit=10, after=found[-1]["id"] if found else "~"):
            assert len(page) in (10, 5)
            found += page
        return found

    in_core(server.database_url, lambda database: database.write(fill))
    found = in_core(server.database_url, lambda database: database.read(pages))

    assert 25 == len({row["id"] for row in found}) == len(found)
    assert {customer.tenant_id} == {row["target_id"] for row in found}
    assert sorted((row["id"] for row in found), reverse=True) == [row["id"] for row in found]
    assert [["a", "b"]] * 25 == [row["changed"] for row in found]
    assert {None} == {row["exchange"] for row in found}


def test_purge_takes_the_oldest_of_one_tenant(server: Server, customer: Customer) -> None:
    """No more than asked for, nothing young, nothing of others."""
    other = new_customer(server.database_url)

    def job(connection: Connection) -> tuple[int, int, int]:
        for each in (customer, other):
            for n in range(5):
                provisioning_log.record(each.work(connection), Entry(str(n), "User", None, Outcome.SUCCESS, 200))
        now = clock.milliseconds() / 1000
        return (
            provisioning_log.purge(connection, customer.tenant_id, now - 60),
            provisioning_log.purge(connection, customer.tenant_id, now + 60, count=3),
            provisioning_log.purge(connection, customer.tenant_id, now + 60),
        )

    assert (0, 3, 2) == in_core(server.database_url, lambda database: database.write(job))
    assert [] == log_of(server.database_url, customer)
    assert 5 == len(log_of(server.database_url, other))
