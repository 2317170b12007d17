"""Letters that were not sent but kept: where no mail server is set, on one's own machine."""

from collections.abc import Sequence
from typing import Any

from admin_console.endpoint import Answer, page
from admin_console.ports import Ports
from admin_console.request import Request
from app_core.ports import Letter
from app_core.work import Work


async def fetch(ports: Ports, request: Request, asked: Any) -> Sequence[Letter] | None:
    """Give the tenant's letters; None where letters are sent."""
    if ports.letters is None or request.tenant is None:
        return None
    return ports.letters(request.tenant.id)


def letters(work: Work, request: Request) -> Answer:
    """Show the letters."""
    return page("letters.html", "Letters", place="letters", letters=request.fetched)
