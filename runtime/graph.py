"""Microsoft Graph from the settings. What it takes is imported with the first application that is named (150 ms)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from runtime.settings import Settings

if TYPE_CHECKING:
    from graph_fallback.sign_in import MicrosoftSignIn
    from runtime.entra import Entra


def entra_of(settings: Settings, public_url: str) -> "Entra | None":
    """Give the directories that the application of the settings can read; None where none is named."""
    if not _is_named(settings):
        return None
    from runtime.entra import Entra

    return Entra(settings, public_url)


def sign_in_of(settings: Settings) -> "MicrosoftSignIn | None":
    """Give sign-in with Microsoft by the application of the settings; None where none is named."""
    if not _is_named(settings):
        return None
    from graph_fallback.sign_in import MicrosoftSignIn
    from runtime.entra import credential_of

    assert settings.entra_client_id is not None
    return MicrosoftSignIn(settings.entra_client_id, credential_of(settings), login_url=settings.login_url)


def _is_named(settings: Settings) -> bool:
    credential = settings.entra_client_certificate or settings.entra_client_secret
    return settings.entra_client_id is not None and credential is not None


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator["Entra | None"]:
    """Give the same as long as this is open, for those who send nobody a consent link."""
    entra = entra_of(settings, settings.public_url or "")
    try:
        yield entra
    finally:
        if entra is not None:
            await entra.close()
