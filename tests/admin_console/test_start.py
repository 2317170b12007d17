"""The page where people type their start code in: once, a few tries, and the same words whatever is wrong (T3)."""

from __future__ import annotations

from tests.answers import unique
from tests.api import NAME, Company, MakeCompany
from tests.console import Browser, said, values, where

WRONG = "This start code does not work: it may be mistyped, used, expired, or tried too often"


def test_five_wrong_tries_end_a_code(company: Company, visitor: Browser) -> None:
    """Each is refused alike and told in the log; then the right one is of no use any more."""
    person = company.person(company.hire())
    code = company.call("POST", f"people/{person['id']}/start-code", 200)["start_code"]
    form = {"at": company.tenant_id, "who": person["sign_in"]}

    refusals = [said(visitor.post("/start", 400, code="0000-0000-0000", **form)) for _ in range(5)]
    last = said(visitor.post("/start", 400, code=code, **form))

    assert all(WRONG in each for each in [*refusals, last])
    assert "code_sent" == company.get(f"people/{person['id']}")["activation"]
    failed = [each for each in company.log() if each["action"] == "redeem start code" and each["outcome"] == "failure"]
    assert 6 <= len(failed)
    assert person["sign_in"] not in str(failed)


def test_a_refused_code_is_shown_again_to_be_mended(company: Company, visitor: Browser) -> None:
    """Name, code and, where it was typed, the company stay in the form; the reason stands in it."""
    person = company.person(company.hire())
    form = {"who": person["sign_in"], "code": "4K7Q-9WZX-2M3T"}
    by_link = visitor.post(f"/start?at={company.tenant_id}", 400, at=company.tenant_id, **form)
    by_hand = visitor.post("/start", 400, at="Nowhere Ltd", **form)

    for shown in (by_link, by_hand):
        assert {"f-who": person["sign_in"], "f-code": "4K7Q-9WZX-2M3T"}.items() <= values(shown).items()
        assert WRONG in shown.text.partition("<form")[2]
    assert f'action="/start?at={company.tenant_id}"' in by_link.text
    assert "Nowhere Ltd" == values(by_hand)["f-at"]


def test_nobody_learns_who_or_which_company_there_is(company: Company, visitor: Browser) -> None:
    """An unknown company, an unknown name and another company's code are refused with the same words."""
    person = company.person(company.hire())
    code = company.call("POST", f"people/{person['id']}/start-code", 200)["start_code"]
    asked = [
        {"at": unique("nowhere"), "who": person["sign_in"], "code": code},
        {"at": "", "who": person["sign_in"], "code": code},
        {"at": company.tenant_id, "who": "nobody@contoso.com", "code": code},
        {"at": company.tenant_id, "who": "", "code": ""},
    ]

    for form in asked:
        assert WRONG in said(visitor.post("/start", 400, **form))


def test_the_company_is_asked_for_where_there_are_several(
    company: Company, make_company: MakeCompany, visitor: Browser
) -> None:
    """The link that an administrator passes on names it; by hand its name does, in any case."""
    make_company()
    person = company.person(company.hire())
    code = company.call("POST", f"people/{person['id']}/start-code", 200)["start_code"]

    by_hand = visitor.get("/start")
    by_link = visitor.get("/start", at=company.tenant_id)

    assert "Company" in said(by_hand)
    assert 'name="at" value="' + company.tenant_id in by_link.text
    assert "Company" not in said(by_link)
    visitor.post("/start", at=company.tenant_id, who=person["sign_in"].upper(), code=code.replace("-", " "))


def test_who_waits_for_a_seat_is_told(make_company: MakeCompany, visitor: Browser) -> None:
    """The account is theirs all the same, and works once a seat is free."""
    company = make_company(seats=1)
    company.new_template(NAME, groups=[company.found(company.hire())])
    person = company.person(company.hire())
    code = company.call("POST", f"people/{person['id']}/start-code", 200)["start_code"]

    done = visitor.post("/start", at=company.tenant_id, who=person["sign_in"], code=code)

    text = said(visitor.get(where(done)))
    assert "Your account is active" in text
    assert "no free seat" in text
    assert "waiting" == company.get(f"people/{person['id']}")["seat"]
