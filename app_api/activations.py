"""What a person does with a start code: the application that is not the administrator's sends it here."""

from dataclasses import dataclass

from app_api.bodies import Body, Line, Secret
from app_api.exchange import Answer, Call
from app_core import self_service
from app_core.work import Work


class Redemption(Body):
    """A start code, and whose it is said to be: a sign-in name or an e-mail address."""

    sign_in: Line
    start_code: Secret


@dataclass(frozen=True, slots=True)
class Redeemed:
    """Whose account is active now."""

    person_id: str


def redeem(work: Work, call: Call, body: Redemption) -> Answer[Redeemed]:
    """Redeem a start code; whatever is wrong with one, the refusal is the same."""
    person_id = self_service.redeem_start_code(work, body.sign_in, body.start_code)
    return Answer(200, Redeemed(person_id), person_id)
