"""Customers' directories for the doors: the core's port (`ports.EntraDirectory`) over Microsoft Graph."""

from collections.abc import Mapping

from app_core.errors import NotFound
from app_core.ports import DirectoryProof, EntraGroup, EntraGroups
from graph_fallback import consent, pages, payloads, search
from graph_fallback.client import Graph, GraphClient, new_http
from graph_fallback.payloads import GraphGroup
from graph_fallback.tokens import ClientCertificate, ClientSecret, EntraTokens
from runtime.settings import Settings

RETURN_PATH = "/console/connection/consented"
"""Where a consent link leads back to, below our address: a redirect URI of the application (docs/graph.md)."""


class Entra:
    """All customers' directories, read by the application of the settings, which must name one."""

    def __init__(self, settings: Settings, public_url: str) -> None:
        assert settings.entra_client_id is not None
        self._settings = settings
        self._client_id = settings.entra_client_id
        self._redirect_uri = public_url.rstrip("/") + RETURN_PATH
        self._tokens = EntraTokens(
            self._client_id, credential_of(settings), login_url=settings.login_url, graph_url=settings.graph_url
        )
        self._http = new_http()
        self.graph = Graph(self._http, self._tokens, settings.graph_url)

    async def close(self) -> None:
        """Close the connections to Microsoft."""
        await self._http.aclose()
        self._tokens.close()

    def consent_url(self, state: str, directory_id: str | None = None) -> str:
        """Give the link for consent in one directory, or in that of whoever opens it."""
        return consent.consent_url(
            state,
            client_id=self._client_id,
            redirect_uri=self._redirect_uri,
            directory_id=directory_id,
            login_url=self._settings.login_url,
            graph_url=self._settings.graph_url,
        )

    async def proof_of_return(self, query: Mapping[str, str]) -> DirectoryProof:
        """Prove the directory that a consent link came back from."""
        claimed = consent.returned_from(query)
        return await consent.prove_tenant(self._tokens, claimed, settling=consent.SETTLING_SECONDS)

    async def prove(self, directory_id: str) -> DirectoryProof:
        """Prove by a token that a directory has consented to all that we need."""
        return await consent.prove_tenant(self._tokens, directory_id)

    async def groups(self, directory_id: str, text: str, after: str | None, limit: int) -> EntraGroups:
        """List the groups whose name has a word that begins so."""
        found = await search.groups(self._client(directory_id), text, after=after, limit=limit)
        return EntraGroups([_shown(group) for group in found.items], found.next)

    async def group(self, directory_id: str, object_id: str) -> EntraGroup:
        """Read one group with its members."""
        client = self._client(directory_id)
        group = await search.group(client, object_id)
        if group is None:
            raise NotFound("Group in Entra", object_id)
        members: set[str] = set()
        async for page in pages.listed(client, pages.members_of(group.id)):
            members |= payloads.members_in(page.items).users.added
        return _shown(group, sorted(members))

    def _client(self, directory_id: str) -> GraphClient:
        return self.graph.directory(directory_id, background=False)


def credential_of(settings: Settings) -> ClientSecret | ClientCertificate:
    """Give what the application of the settings proves itself by."""
    if settings.entra_client_certificate is not None:
        return ClientCertificate(settings.entra_client_certificate.get_secret_value())
    assert settings.entra_client_secret is not None
    return ClientSecret(settings.entra_client_secret.get_secret_value())


def _shown(group: GraphGroup, members: list[str] | tuple[()] = ()) -> EntraGroup:
    name = group.display_name if isinstance(group.display_name, str) and group.display_name else None
    return EntraGroup(group.id, name, members)
