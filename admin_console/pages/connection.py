"""The directory behind Microsoft Graph: consent, how it stands, sync now, whose people are imported (G1, G2, G4).

Consent goes away to Microsoft and comes back twice: once from the consent page, which proves nothing about who sits
there, and once from a sign-in, whose id token says which directory that browser belongs to (ADR 0021). Only then a
token of the directory is asked for; as Entra may need a minute for it, a page waits for that.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl

from admin_console.endpoint import Answer, Page, Redirect, done, page
from admin_console.pages import microsoft
from admin_console.ports import Ports
from admin_console.request import Request
from app_core import clock, connections, consents, entra_directory, graph_links, jobs, sign_in_flows, user_filter
from app_core.errors import NotPossible, SignInRefused
from app_core.ports import PERMISSIONS, DirectoryProof, EntraDirectory, EntraGroups, Flow, require_entra
from app_core.sign_in_flows import Kept
from app_core.work import Work

HOME = "/console/setup/graph"
FILTER = f"{HOME}/filter"
LIMIT = 25
STATES = {
    "none": ("not connected", "plain"),
    "connected": ("connected", "good"),
    "quarantined": ("needs your attention", "bad"),
    "disconnected": ("disconnected", "plain"),
}


async def directory(ports: Ports, request: Request, asked: object) -> EntraDirectory | None:
    """Give the directories, if this server has an application that reads them."""
    return ports.directory


def show(work: Work, request: Request) -> Answer:
    """Show how the connection and Graph stand; while a pull runs, the page looks again by itself."""
    connections.act_on_first(work)
    link = graph_links.find(work)
    next_pull_at = link.next_pull_at(work.now)
    return page(
        "setup/graph.html",
        "Microsoft Graph",
        place="setup",
        tab="graph",
        available=request.fetched is not None,
        link=link,
        state=STATES[link.status],
        next_pull_at=next_pull_at,
        due=next_pull_at == work.now,
        job=jobs.unfinished(work, graph_links.pull_slot(work)),
        chosen=user_filter.chosen(work),
        permissions=PERMISSIONS,
        return_addresses=return_addresses(request),
    )


def return_addresses(request: Request) -> Sequence[str]:
    """List the addresses that Microsoft sends browsers back to: redirect URIs of the application."""
    paths = ("/console/connection/consented", "/console/microsoft/return", "/me/microsoft/return")
    return [request.public_url.rstrip("/") + path for path in paths]


# Consent ------------------------------------------------------------------------------------------------------------


def ask(work: Work, request: Request) -> Answer:
    """Go to Microsoft's consent page. Raises NotPossible where the operator has named no application."""
    entra = require_entra(request.fetched)
    connections.act_on_first(work)
    return Redirect(to=entra.consent_url(consents.ask(work, request.who.session_id)))


def expect(work: Work, request: Request) -> None:
    """Refuse what did not begin here and now, before anybody is asked about it. Raises ConsentRefused."""
    connections.act_on_first(work)
    entra_directory.expect_return(work, request.query, request.who.session_id)


async def begin_proof(ports: Ports, request: Request, asked: object) -> Flow:
    """Begin the sign-in that says whose directory it is, unless consent was not granted: then say why not."""
    if request.query.get("error") or request.query.get("error_description"):
        await require_entra(ports.directory).proof_of_return(request.query)
    return await microsoft.begin(ports, request, asked)


class Proved(NamedTuple):
    """What came back from consent, and the directory that the browser's sign-in named."""

    query: Mapping[str, str]
    directory_id: str


def wait(work: Work, request: Request) -> Answer:
    """Show that Microsoft is asked for a first token; the page sends its form by itself. Raises SignInRefused."""
    _proved(request, sign_in_flows.find(work.connection, _secret(request), clock.now()))
    return page("setup/finish.html", "Connecting to Microsoft Graph", place="setup")


def expect_proved(work: Work, request: Request) -> Proved:
    """Give what is to be proved now. Raises SignInRefused, ConsentRefused."""
    connections.act_on_first(work)
    proved = _proved(request, sign_in_flows.find(work.connection, _secret(request), clock.now()))
    entra_directory.expect_return(work, proved.query, request.who.session_id)
    return proved


async def prove(ports: Ports, request: Request, proved: Proved) -> DirectoryProof:
    """Have the directory prove by a token that it has consented; this may take a minute."""
    return await require_entra(ports.directory).proof_of_return(proved.query)


def accept(work: Work, request: Request) -> Answer:
    """Join the tenant to the directory. Raises ConsentRefused, DirectoryTaken, SignInRefused."""
    connections.act_on_first(work)
    proved = _proved(request, sign_in_flows.take(work.connection, _secret(request), clock.now()))
    proof: DirectoryProof = request.fetched
    entra_directory.accept_return(work, proved.query, request.who.session_id, proved.directory_id, proof)
    cookies = {microsoft.flow_cookie(request): None}
    sentence = "Your directory is connected. The first sync has begun: this page shows how far it is."
    return done(HOME, sentence, target_id=work.connection_id, changed=["status"], cookies=cookies)


def _secret(request: Request) -> str:
    return request.cookies.get(microsoft.flow_cookie(request), "")


def _proved(request: Request, kept: Kept | None) -> Proved:
    if kept is None or kept.purpose != microsoft.PROVED:
        raise SignInRefused("The sign-in for this connection is used up or too old. Open 'Connect' again.")
    microsoft.require_same_session(request, kept)
    return Proved(dict(parse_qsl(kept.after, keep_blank_values=True)), kept.flow)


# While it is connected ----------------------------------------------------------------------------------------------


def disconnect(work: Work, request: Request) -> Answer:
    """Pull no more."""
    connections.act_on_first(work)
    changed = entra_directory.disconnect(work)
    sentence = "Microsoft Graph is disconnected. People, groups and teams stay as they are."
    return done(HOME, sentence, target_id=work.connection_id, changed=["status"] if changed else [])


def sync(work: Work, request: Request) -> Answer:
    """Pull now. Raises NotPossible where no directory is connected."""
    connections.act_on_first(work)
    job = entra_directory.sync_now(work)
    return done(HOME, "The sync is on its way.", target_id=job.id)


# The user filter ----------------------------------------------------------------------------------------------------


class Choice(NamedTuple):
    """A group to tick."""

    object_id: str
    name: str


def directory_id_of(work: Work, request: Request) -> str:
    """Give the directory to ask. Raises NotPossible where none is connected."""
    connections.act_on_first(work)
    directory_id = graph_links.require_connected(work).entra_tenant_id
    assert directory_id is not None
    return directory_id


async def search(ports: Ports, request: Request, directory_id: str) -> EntraGroups:
    """Ask the directory for groups by the beginning of a word."""
    after = request.text("after") or None
    return await require_entra(ports.directory).groups(directory_id, request.text("q"), after, LIMIT)


def show_filter(work: Work, request: Request) -> Answer:
    """Show which groups' people are imported, and groups to choose from."""
    connections.act_on_first(work)
    chosen = [Choice(each.object_id, each.display_name or each.object_id) for each in user_filter.chosen(work)]
    return _filter(work, request, chosen)


def search_filter(work: Work, request: Request) -> Answer:
    """Show other groups to choose from; what is ticked stays so, and nothing is saved yet."""
    connections.act_on_first(work)
    ticked = [Choice(each, request.text(f"name-{each}") or each) for each in request.lists.get("group", [])]
    return _filter(work, request, ticked)


def _filter(work: Work, request: Request, ticked: Sequence[Choice]) -> Page:
    found: EntraGroups = request.fetched
    known = {each.object_id for each in ticked}
    return page(
        "setup/filter.html",
        "Whose people are imported",
        place="setup",
        ticked=ticked,
        found=[
            Choice(each.object_id, each.name or each.object_id) for each in found.items if each.object_id not in known
        ],
        q=request.text("q"),
        next=found.next,
        most=user_filter.MOST_GROUPS,
        pushed=graph_links.find(work).pushed,
    )


def choose(work: Work, request: Request) -> Answer:
    """Import the people of the ticked groups alone; with none ticked, everybody. Raises Invalid, NotPossible."""
    connections.act_on_first(work)
    if not graph_links.find(work).live:
        raise NotPossible("The directory is not connected any more. Connect it first.")
    changed = user_filter.choose(work, request.lists.get("group", []))
    sentence = "The user filter is saved; a full sync carries it out now." if changed else "Nothing was changed."
    return done(HOME, sentence, target_id=work.connection_id, changed=["user_filter"] if changed else [])
