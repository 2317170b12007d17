"""The Graph face: `/v1.0/…` as the fact sheet states it.

`respond` is the one way in, for a request from the socket and for a part of a `$batch` alike: token, throttling,
faults, permission, handler, in this order.
"""

import base64
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from runtime.simulator import delta, gate, odata, pages
from runtime.simulator.cloud import Cloud
from runtime.simulator.delta import Query, State
from runtime.simulator.directory import DirectoryError, Entry, Kind
from runtime.simulator.faults import Asked, FaultKind
from runtime.simulator.graph_call import Answer, Call, GraphError, Incoming, JsonObject, error_answer
from runtime.simulator.pages import Round
from runtime.simulator.pictures import Photo

MOST_PARTS = 20
MOST_IDS = 1000
MOST_TOP = 999

READ_ALL = frozenset({"Directory.Read.All", "Directory.ReadWrite.All"})
READ_USERS = READ_ALL | {"User.Read.All", "User.ReadWrite.All"}
READ_GROUPS = READ_ALL | {"Group.Read.All", "Group.ReadWrite.All"}
READ_MEMBERS = READ_GROUPS | {"GroupMember.Read.All"}
READ_PHOTOS = READ_USERS | {"ProfilePhoto.Read.All"}
READ_TENANT = READ_ALL | {"Organization.Read.All"}
READ_KIND = {
    Kind.USER: READ_USERS,
    Kind.GROUP: READ_MEMBERS,
    Kind.DEVICE: READ_ALL | {"Device.Read.All"},
    Kind.CONTACT: READ_ALL | {"OrgContact.Read.All"},
    Kind.SERVICE_PRINCIPAL: READ_ALL | {"Application.Read.All"},
}
COLLECTIONS = {Kind.USER: "users", Kind.GROUP: "groups"}


class Route(NamedTuple):
    """What answers a method and path, who may ask, under which name it is counted, and its base cost."""

    method: str
    pattern: re.Pattern[str]
    handler: Callable[..., Answer]
    needs: frozenset[str]
    label: str
    units: int


# ── The way in ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def respond(cloud: Cloud, incoming: Incoming) -> Answer:
    """Answer a request, whatever comes of it; count it and write it down."""
    struck = cloud.faults.striking(Asked("graph", incoming.path, incoming.raw_query, incoming.in_batch))
    await gate.wait_by_fault(struck)
    route, parameters = _route_of(incoming)
    label = f"{incoming.method} other" if route is None else route.label
    tenant_id = None
    units: dict[str, str] = {}
    try:
        tenant, roles = gate.caller_of(cloud, incoming.headers)
        tenant_id = tenant.id
        if not incoming.in_batch:
            # The parts of a batch are judged one by one: none of them could know of the others.
            gate.refuse_while_closed(cloud, tenant)
        call = Call(cloud, incoming, tenant, roles, struck)
        gate.refuse_by_fault(call)
        units = gate.spend(cloud, tenant, _units(call, route))
        whole_batch = label == "POST /$batch" and not incoming.in_batch
        answer = await batch(call) if whole_batch else _handled(call, route, parameters)
    except GraphError as error:
        answer = error_answer(cloud, error, incoming.headers)
    answer = gate.spoiled(answer, incoming, struck)
    answer.headers |= units | _identified(incoming)
    _write_down(cloud, incoming, label, tenant_id, answer, struck.names())
    return answer


def _handled(call: Call, route: Route | None, parameters: dict[str, str]) -> Answer:
    if route is None:
        raise GraphError(400, "BadRequest", f"Resource not found for the segment '{call.incoming.path}'.")
    if not call.may(route.needs):
        raise gate.forbidden()
    try:
        return route.handler(call, **parameters)
    except odata.BadQuery as error:
        raise GraphError(400, "Request_BadRequest", str(error)) from None


def _route_of(incoming: Incoming) -> tuple[Route | None, dict[str, str]]:
    for route in ROUTES:
        found = route.pattern.fullmatch(incoming.path) if route.method == incoming.method else None
        if found is not None:
            return route, {name: value for name, value in found.groupdict().items() if value is not None}
    return None, {}


def _units(call: Call, route: Route | None) -> int:
    query = call.query
    units = 1 if route is None else route.units
    units -= "$select" in query
    units += "$expand" in query
    units -= query.get("$top", "").isdigit() and int(query["$top"]) < 20
    return max(1, units)


def _identified(incoming: Incoming) -> dict[str, str]:
    request_id = str(uuid.uuid4())
    asked = incoming.headers.get("client-request-id", request_id)
    return {"request-id": request_id, "client-request-id": asked, "OData-Version": "4.0"}


WRITTEN_DOWN = ("user-agent", "prefer", "consistencylevel", "x-ms-throttle-priority", "client-request-id")


def _write_down(
    cloud: Cloud, incoming: Incoming, label: str, tenant_id: str | None, answer: Answer, faults: list[str]
) -> None:
    cloud.counters["graph"] += 1
    cloud.counters[label] += 1
    cloud.counters[f"{answer.status}"] += 1
    cloud.requests.append(
        {
            "at": cloud.clock.now(),
            "tenant": tenant_id,
            "method": incoming.method,
            "path": incoming.path,
            "query": incoming.raw_query,
            "headers": {name: incoming.headers[name] for name in WRITTEN_DOWN if name in incoming.headers},
            "status": answer.status,
            "in_batch": incoming.in_batch,
            "faults": faults,
        }
    )


# ── Delta ────────────────────────────────────────────────────────────────────────────────────────────────────────────

NO_OPTIONS = ("$top", "$expand", "$orderby", "$count", "$search")


def users_delta(call: Call) -> Answer:
    """Give a page of a round of changes to users."""
    return _delta(call, Kind.USER)


def groups_delta(call: Call) -> Answer:
    """Give a page of a round of changes to groups, with those of their members."""
    return _delta(call, Kind.GROUP)


def _delta(call: Call, kind: Kind) -> Answer:
    options = call.query
    for name in NO_OPTIONS:
        if name in options:
            raise GraphError(400, "Request_UnsupportedQuery", f"The query option {name} is not supported here.")
    token, skip = options.get("$deltatoken", ""), options.get("$skiptoken")
    if (skip or token not in ("", "latest")) and ("$select" in options or "$filter" in options):
        raise GraphError(400, "Request_BadRequest", "Query options are part of the token and cannot be given again.")
    if call.struck.get(FaultKind.GONE) is not None:
        raise _gone(call, kind, skip, token)
    if skip:
        round_, page, repetition = pages.continued(call, skip)
        return pages.page_of(call, round_, page, repetition)
    head = len(call.directory.journal)
    if token in ("", "latest"):
        query = Query(kind, odata.selected(options.get("$select"), kind, (delta.RELATIONS[kind],)), _ids(options))
        items = delta.first_round(call.directory, query, call.cloud.settings) if not token else iter(())
    else:
        state = _state(call, kind, token)
        query = state.query
        items = delta.later_round(call.directory, query, state.place, head)
    return pages.page_of(call, _begin_delta(call, query, items, head), 0)


def _ids(options: dict[str, str]) -> tuple[str, ...] | None:
    return odata.ids_only(options.get("$filter"))


def _state(call: Call, kind: Kind, token: str) -> State:
    try:
        state = delta.state_of(call.cloud, call.tenant.id, token)
    except delta.Expired:
        raise gate.sync_state_not_found() from None
    if state.query.kind is not kind:
        raise GraphError(400, "Request_BadRequest", "The delta token belongs to another resource.")
    return state


def _begin_delta(call: Call, query: Query, items: Iterator[delta.Item], head: int) -> Round:
    cloud, directory = call.cloud, call.directory
    if cloud.settings.shuffle:
        pieces = delta.sliced(items, cloud.settings.members_page)
        cloud.random.shuffle(pieces)
        items = iter(pieces)
    state = State(call.tenant.id, query, head, cloud.clock.seconds(), cloud.generation)

    def render(item: delta.Item, minimal: bool) -> JsonObject | None:
        return delta.rendered(directory, query, item, minimal=minimal)

    round_ = Round(
        key=cloud.new_secret(),
        tenant_id=call.tenant.id,
        url=call.url,
        pages=delta.paged(items, cloud.settings),
        render=render,
        context=f"{cloud.base_url}/v1.0/$metadata#{COLLECTIONS[query.kind]}",
        delta_link=f"{call.url}?$deltatoken={delta.token_of(cloud, state)}",
        minimal="return=minimal" in call.incoming.headers.get("prefer", "").replace(" ", ""),
    )
    return pages.begin(cloud, round_)


def _gone(call: Call, kind: Kind, skip: str | None, token: str) -> GraphError:
    """Send a client back to the beginning: the first address again, with an empty delta token."""
    location = f"{call.url}?$deltatoken="
    if not skip:
        select = _state(call, kind, token).query.select
        location += f"&$select={','.join(select)}" if select else ""
    return GraphError(410, "resyncRequired", "The state is gone; begin anew.", {"Location": location})


# ── Lists ────────────────────────────────────────────────────────────────────────────────────────────────────────────

View = Callable[[Entry], JsonObject]


def list_users(call: Call) -> Answer:
    """List users."""
    return _listing(call, call.directory.live[Kind.USER].values(), Kind.USER, "users")


def list_groups(call: Call) -> Answer:
    """List groups."""
    return _listing(call, call.directory.live[Kind.GROUP].values(), Kind.GROUP, "groups")


def list_deleted(call: Call, kind: str) -> Answer:
    """List what is in the recycle bin."""
    wanted = Kind(kind)
    if not call.may(READ_USERS if wanted is Kind.USER else READ_GROUPS):
        raise gate.forbidden()
    found = [entry for entry in call.directory.deleted.values() if entry.kind is wanted]
    return _listing(call, found, wanted, COLLECTIONS[wanted])


def list_members(call: Call, key: str, cast: str = "") -> Answer:
    """List the direct members of a group."""
    return _related(call, call.directory.members(_entry(call, Kind.GROUP, key)), cast)


def list_transitive_members(call: Call, key: str, cast: str = "") -> Answer:
    """List everything inside a group and the groups in it."""
    return _related(call, call.directory.transitive_members(_entry(call, Kind.GROUP, key)), cast)


def list_memberships(call: Call, key: str, cast: str = "") -> Answer:
    """List the groups that a user is in."""
    return _related(call, call.directory.memberships(_entry(call, Kind.USER, key)), cast)


def list_transitive_memberships(call: Call, key: str, cast: str = "") -> Answer:
    """List the groups that a user is in, directly or through others."""
    return _related(call, call.directory.memberships(_entry(call, Kind.USER, key), transitive=True), cast)


def count_members(call: Call, key: str, cast: str = "") -> Answer:
    """Count the direct members of a group."""
    return _count(call, call.directory.members(_entry(call, Kind.GROUP, key)), cast)


def count_transitive_members(call: Call, key: str, cast: str = "") -> Answer:
    """Count everything inside a group and the groups in it."""
    return _count(call, call.directory.transitive_members(_entry(call, Kind.GROUP, key)), cast)


def count_all(call: Call, collection: str) -> Answer:
    """Count users or groups."""
    kind = Kind.USER if collection == "users" else Kind.GROUP
    return _count(call, call.directory.live[kind].values(), "")


def _related(call: Call, entries: Iterable[Entry], cast: str) -> Answer:
    if cast:
        kind = Kind(cast)
        _require_eventual(call, "The cast needs")
        return _listing(call, (entry for entry in entries if entry.kind is kind), kind, "directoryObjects", typed=False)
    return _listing(call, entries, None, "directoryObjects")


def _count(call: Call, entries: Iterable[Entry], cast: str) -> Answer:
    if not call.eventual:
        raise _needs_eventual("$count needs")
    count = sum(1 for entry in entries if not cast or entry.kind is Kind(cast))
    return Answer(200, str(count).encode(), media_type="text/plain")


def _listing(
    call: Call, entries: Iterable[Entry], kind: Kind | None, context: str, *, typed: bool | None = None
) -> Answer:
    options = call.query
    if options.get("$skiptoken"):
        round_, page, repetition = pages.continued(call, options["$skiptoken"])
        return pages.page_of(call, round_, page, repetition)
    found = _chosen(call, entries, kind or Kind.USER)
    size = _top(options)
    select = _selected(options.get("$select"), kind)
    expand = odata.expanded(options.get("$expand"), ("manager",) if kind is Kind.USER else ())
    view = _view(call, select, expand, typed=kind is None if typed is None else typed)
    ids = [entry.id for entry in found]
    step = size or call.cloud.settings.list_page

    def render(object_id: str, minimal: bool) -> JsonObject | None:
        # What has been deleted since the list began is left out.
        entry = call.directory.entries.get(object_id)
        return None if entry is None else view(entry)

    link_options = pages.options(call.incoming.raw_query)
    round_ = Round(
        key=call.cloud.new_secret(),
        tenant_id=call.tenant.id,
        url=f"{call.url}?{link_options}" if link_options else call.url,
        pages=[ids[at : at + step] for at in range(0, len(ids), step)] or [[]],
        render=render,
        context=f"{call.cloud.base_url}/v1.0/$metadata#{context}{_chosen_names(select)}",
        count=len(ids) if options.get("$count") == "true" else None,
    )
    return pages.page_of(call, pages.begin(call.cloud, round_), 0)


def _chosen(call: Call, entries: Iterable[Entry], kind: Kind) -> list[Entry]:
    """Filter, search and order a list."""
    options = call.query
    found = list(entries)
    if options.get("$filter"):
        if odata.needs_consistency(options["$filter"]):
            _require_eventual(call, "The filter needs")
        found = list(filter(odata.filtered(options["$filter"], kind), found))
    if options.get("$search"):
        if not call.eventual:
            raise _needs_eventual("Request with $search query parameter only works through MSGraph with")
        found = list(filter(odata.searched(options["$search"], kind), found))
    if options.get("$orderby"):
        name, descending = odata.ordered(options["$orderby"], kind)
        found.sort(key=lambda entry: str(entry.value(name) or "").casefold(), reverse=descending)
    return found


def _chosen_names(select: tuple[str, ...] | None) -> str:
    return f"({','.join(select)})" if select else ""


def _require_eventual(call: Call, sentence: str) -> None:
    if not call.eventual or call.query.get("$count") != "true":
        raise _needs_eventual(sentence)


def _needs_eventual(sentence: str) -> GraphError:
    return GraphError(
        400, "Request_UnsupportedQuery", f"{sentence} a special request header: 'ConsistencyLevel: eventual'."
    )


def _top(options: dict[str, str]) -> int | None:
    if "$top" not in options:
        return None
    if not options["$top"].isdigit() or not 1 <= int(options["$top"]) <= MOST_TOP:
        raise GraphError(400, "Request_BadRequest", f"Invalid page size specified: '{options['$top']}'.")
    return int(options["$top"])


def _selected(text: str | None, kind: Kind | None) -> tuple[str, ...] | None:
    if kind is not None or not text:
        return odata.selected(text, kind or Kind.USER)
    # A list of all kinds of objects takes what any of them has.
    names = tuple(text.split(","))
    return tuple(name for name in names if odata.selected(name, _owner(name)))


def _owner(name: str) -> Kind:
    return Kind.GROUP if name in Kind.GROUP.properties else Kind.USER


def _view(call: Call, select: tuple[str, ...] | None, expand: odata.Expand | None, *, typed: bool) -> View:
    """Say how an object is shown in a plain read; who may not read its kind gets its id, and null for the rest."""

    def view(entry: Entry) -> JsonObject:
        names = select or entry.kind.defaults
        readable = call.may(READ_KIND[entry.kind])
        shown: JsonObject = {"@odata.type": entry.kind.odata_type} if typed else {}
        shown |= {name: entry.value(name) if readable else None for name in names}
        shown["id"] = entry.id
        if expand is not None:
            shown["manager"] = _manager_of(call, entry, expand)
        return shown

    return view


def _manager_of(call: Call, entry: Entry, expand: odata.Expand) -> JsonObject | None:
    manager = call.directory.live[Kind.USER].get(entry.manager_id or "")
    return None if manager is None else _view(call, expand.select, None, typed=True)(manager)


# ── Single objects ───────────────────────────────────────────────────────────────────────────────────────────────────


def get_user(call: Call, key: str) -> Answer:
    """Read one user, by object id or userPrincipalName."""
    return _single(call, _entry(call, Kind.USER, key), Kind.USER)


def get_group(call: Call, key: str) -> Answer:
    """Read one group."""
    return _single(call, _entry(call, Kind.GROUP, key), Kind.GROUP)


def get_manager(call: Call, key: str) -> Answer:
    """Read the manager of a user; who has none gets 404."""
    manager = call.directory.live[Kind.USER].get(_entry(call, Kind.USER, key).manager_id or "")
    if manager is None:
        raise _not_found("manager")
    return _single(call, manager, Kind.USER, typed=True)


def _single(call: Call, entry: Entry, kind: Kind, *, typed: bool = False) -> Answer:
    options = call.query
    select = odata.selected(options.get("$select"), kind)
    expand = odata.expanded(options.get("$expand"), ("manager",) if kind is Kind.USER else ())
    context = f"{call.cloud.base_url}/v1.0/$metadata#{COLLECTIONS[kind]}{_chosen_names(select)}/$entity"
    return Answer(200, {"@odata.context": context} | _view(call, select, expand, typed=typed)(entry))


def _entry(call: Call, kind: Kind, key: str) -> Entry:
    try:
        if kind is Kind.USER:
            return call.directory.user(key)
        return call.directory.live[Kind.GROUP][key]
    except (DirectoryError, KeyError):
        raise _not_found(key) from None


def _not_found(key: str) -> GraphError:
    return GraphError(
        404,
        "Request_ResourceNotFound",
        f"Resource '{key}' does not exist or one of its queried reference-property objects are not present.",
    )


def get_by_ids(call: Call) -> Answer:
    """Read many objects by id; those that do not exist are left out."""
    body = call.json()
    ids, types = body.get("ids", []), body.get("types") or [kind.value for kind in Kind]
    if not isinstance(ids, list) or len(ids) > MOST_IDS:
        raise GraphError(400, "Request_BadRequest", f"At most {MOST_IDS} ids can be asked for.")
    view = _view(call, None, None, typed=True)
    found = (call.directory.entries.get(str(object_id)) for object_id in ids)
    value = [view(entry) for entry in found if entry is not None and entry.live and entry.kind.value in types]
    return Answer(200, {"@odata.context": f"{call.cloud.base_url}/v1.0/$metadata#directoryObjects", "value": value})


def get_organization(call: Call) -> Answer:
    """Read the tenant itself."""
    directory = call.directory
    domain = {"name": directory.domain, "isDefault": True, "isInitial": False, "type": "Managed"}
    organization = {"id": directory.id, "displayName": directory.name, "verifiedDomains": [domain]}
    context = f"{call.cloud.base_url}/v1.0/$metadata#organization"
    return Answer(200, {"@odata.context": context, "value": [organization]})


# ── Photos ───────────────────────────────────────────────────────────────────────────────────────────────────────────

NO_PHOTO = {"@odata.mediaContentType": "image/gif", "@odata.mediaEtag": "", "id": "1x1", "width": 1, "height": 1}


def get_photo(call: Call, key: str, size: str = "") -> Answer:
    """Read the metadata of a photo."""
    try:
        photo = _photo(call, key, size)
    except GraphError:
        if call.cloud.settings.photoless == "404":
            raise
        return Answer(200, NO_PHOTO)
    context = f"{call.cloud.base_url}/v1.0/$metadata#users('{quote(key)}')/photo/$entity"
    return Answer(
        200,
        {
            "@odata.context": context,
            "@odata.mediaContentType": photo.media_type,
            "@odata.mediaEtag": photo.etag,
            "id": f"{photo.width}x{photo.height}",
            "width": photo.width,
            "height": photo.height,
        },
    )


def get_photo_value(call: Call, key: str, size: str = "") -> Answer:
    """Read a photo itself."""
    photo = _photo(call, key, size)
    return Answer(200, photo.content, {"ETag": photo.etag}, photo.media_type)


def _photo(call: Call, key: str, size: str) -> Photo:
    stored = _entry(call, Kind.USER, key).photo
    photo = stored.at(int(size.partition("x")[0])) if stored is not None and size else stored
    if photo is None:
        raise GraphError(404, "ImageNotFound", "The photo wasn't found.")
    return photo


# ── Batch ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def batch(call: Call) -> Answer:
    """Answer up to 20 requests at once, in any order; each is judged by itself."""
    parts = call.json().get("requests")
    if not isinstance(parts, list) or not parts:
        raise GraphError(400, "BadRequest", "Invalid batch payload format.")
    if len(parts) > MOST_PARTS:
        raise GraphError(400, "BadRequest", f"Number of batch request steps exceeds the maximum value of {MOST_PARTS}.")
    statuses: dict[str, int] = {}
    responses = []
    for part in parts:
        answered = await _part(call, part, statuses)
        statuses[answered["id"]] = answered["status"]
        responses.append(answered)
    call.cloud.random.shuffle(responses)
    return Answer(200, {"responses": responses})


async def _part(call: Call, part: JsonObject, statuses: dict[str, int]) -> JsonObject:
    part_id = str(part.get("id"))
    if any(statuses.get(str(other), 0) >= 400 for other in part.get("dependsOn", [])):
        error = {"code": "FailedDependency", "message": "A request that this one depends on has failed."}
        return {"id": part_id, "status": 424, "headers": {}, "body": {"error": error}}
    path, _, query = str(part.get("url", "")).partition("?")
    headers = {name.lower(): str(value) for name, value in (part.get("headers") or {}).items()}
    headers = {**headers, "authorization": call.incoming.headers["authorization"]}
    method = str(part.get("method", "GET")).upper()
    answer = await respond(call.cloud, Incoming(method, unquote(path), query, headers, _body(part), in_batch=True))
    body: Any = answer.body
    if isinstance(body, bytes):
        # Texts travel as they are, everything else as base64.
        body = body.decode() if answer.media_type.startswith("text/") else base64.b64encode(body).decode()
    shown = {"Content-Type": answer.media_type, **answer.headers}
    return {"id": part_id, "status": answer.status, "headers": shown, "body": body}


def _body(part: JsonObject) -> bytes:
    return Answer(200, part.get("body")).content()


# ── Routes ───────────────────────────────────────────────────────────────────────────────────────────────────────────

ANYTHING = READ_MEMBERS | READ_USERS | READ_TENANT
"""For routes that decide by themselves, or that show what the token may see."""
CAST = r"(?:/microsoft\.graph\.(?P<cast>user|group|device|orgContact|servicePrincipal))?"
SIZE = r"(?P<size>\d+x\d+)"


def _route(
    method: str, path: str, handler: Callable[..., Answer], needs: frozenset[str], label: str, units: int = 1
) -> Route:
    return Route(method, re.compile(path), handler, needs, f"{method} {label}", units)


def _never(call: Call) -> Answer:
    """Stand in for `batch`, which `respond` calls itself because it waits for its parts."""
    raise GraphError(400, "BadRequest", "A batch cannot hold a batch.")


ONE_USER, ONE_GROUP = r"/users/(?P<key>[^/]+)", r"/groups/(?P<key>[^/]+)"
ROUTES = [
    _route("GET", r"/users/(?:microsoft\.graph\.)?delta(?:\(\))?", users_delta, READ_USERS, "/users/delta"),
    _route("GET", r"/groups/(?:microsoft\.graph\.)?delta(?:\(\))?", groups_delta, READ_MEMBERS, "/groups/delta"),
    _route("GET", r"/users", list_users, READ_USERS, "/users", 2),
    _route("GET", r"/groups", list_groups, READ_MEMBERS, "/groups"),
    _route("GET", r"/(?P<collection>users)/\$count", count_all, READ_USERS, "/users/$count"),
    _route("GET", r"/(?P<collection>groups)/\$count", count_all, READ_MEMBERS, "/groups/$count"),
    _route("GET", ONE_USER, get_user, READ_USERS, "/users/{id}"),
    _route("GET", ONE_GROUP, get_group, READ_MEMBERS, "/groups/{id}"),
    _route("GET", ONE_USER + "/manager", get_manager, READ_USERS, "/users/{id}/manager"),
    _route("GET", ONE_USER + "/memberOf" + CAST, list_memberships, READ_USERS, "/users/{id}/memberOf", 2),
    _route(
        "GET",
        ONE_USER + "/transitiveMemberOf" + CAST,
        list_transitive_memberships,
        READ_USERS,
        "/users/{id}/transitiveMemberOf",
        2,
    ),
    _route("GET", ONE_GROUP + "/members" + CAST, list_members, READ_MEMBERS, "/groups/{id}/members", 3),
    _route(
        "GET",
        ONE_GROUP + "/transitiveMembers" + CAST,
        list_transitive_members,
        READ_MEMBERS,
        "/groups/{id}/transitiveMembers",
        5,
    ),
    _route(
        "GET", ONE_GROUP + "/members" + CAST + r"/\$count", count_members, READ_MEMBERS, "/groups/{id}/members/$count"
    ),
    _route(
        "GET",
        ONE_GROUP + "/transitiveMembers" + CAST + r"/\$count",
        count_transitive_members,
        READ_MEMBERS,
        "/groups/{id}/transitiveMembers/$count",
    ),
    _route("GET", ONE_USER + "/photo", get_photo, READ_PHOTOS, "/users/{id}/photo"),
    _route("GET", ONE_USER + r"/photo/\$value", get_photo_value, READ_PHOTOS, "/users/{id}/photo/$value"),
    _route("GET", ONE_USER + "/photos/" + SIZE, get_photo, READ_PHOTOS, "/users/{id}/photos/{size}"),
    _route(
        "GET",
        ONE_USER + "/photos/" + SIZE + r"/\$value",
        get_photo_value,
        READ_PHOTOS,
        "/users/{id}/photos/{size}/$value",
    ),
    _route(
        "POST",
        r"/directoryObjects/(?:microsoft\.graph\.)?getByIds",
        get_by_ids,
        ANYTHING,
        "/directoryObjects/getByIds",
        3,
    ),
    _route(
        "GET",
        r"/directory/deleted[iI]tems/microsoft\.graph\.(?P<kind>user|group)",
        list_deleted,
        ANYTHING,
        "/directory/deletedItems/{type}",
    ),
    _route("GET", r"/organization", get_organization, READ_TENANT, "/organization"),
    _route("POST", r"/\$batch", _never, ANYTHING, "/$batch"),
]
