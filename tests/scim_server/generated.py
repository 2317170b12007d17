"""Data for the properties: texts on which comparisons go wrong, and resources made of them.

The pools are small on purpose, so that values meet: equal, equal but for case or accents, part of one another.
"""

from __future__ import annotations

import os
import unicodedata
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from tests.builders import ENTERPRISE_USER

JSON = dict[str, Any]

# SCIM_TEST_EFFORT=20 looks twenty times as long, and elsewhere each time; by default every run is the same.
EFFORT = int(os.environ.get("SCIM_TEST_EFFORT", "1"))


def examples(number: int) -> settings:
    """Say how many examples a property is held against."""
    return settings(
        max_examples=number * EFFORT,
        derandomize=EFFORT == 1,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),  # to explain a failure takes minutes
        suppress_health_check=list(HealthCheck),
    )


# Texts --------------------------------------------------------------------------------------------------------------

E_COMPOSED, E_DECOMPOSED = "é", "e\u0301"
CHARACTERS = (
    *"abAB zZ09",
    *("é", "É", "e", "\u0301", "ß", "ẞ", "İ", "i", "I", "ı", "Σ", "σ", "ς", "ﬁ", "\u212a", "Å", "\u212b", "ü", "Ü"),
    *("中", "\u0e01", "😀", "\u200d", "\ud7ff", "\ue000", "\uffff", "\U0010ffff"),
    *(
        "%",
        "_",
        "'",
        '"',
        "\\",
        "/",
        "\t",
        "\n",
        "\x01",
        "\x02",
        "\x7f",
        "\u2028",
        "$",
        ":",
        "?",
        "*",
        "[",
        "]",
        "(",
        ")",
        ",",
        "{",
    ),
)
WORDS = (
    "Barbara",
    "barbara",
    "BARBARA JENSEN",
    "Barbara Jensen",
    "Jensen",
    E_COMPOSED,
    E_DECOMPOSED,
    "É",
    "Straße",
    "STRASSE",
    "İstanbul",
    "istanbul",
    "ISTANBUL",
    "ΟΔΥΣΣΕΥΣ",
    "οδυσσευς",
    "😀",
    "😀😀",
    "a%b_c",
    "a\\b\"c'd",
    " Blank ",
    "true",
    "null",
    "12",
    "work",
    "Ünal",
    "U\u0308nal",
    "\uffff",
    "\U0010ffff",
    "\ud7ff",
)
words = st.sampled_from(WORDS)
odd_texts = st.text(st.sampled_from(CHARACTERS), min_size=1, max_size=4).filter(str.strip)
texts = words | words | odd_texts

# Exact values and e-mails are in NFC, where the library that serves as oracle and the server agree.
EXACT = (
    "https://contoso.com/A",
    "https://contoso.com/a",
    "https://contoso.com/a%20b",
    "urn:a",
    "Boss",
    "boss",
    " Boss",
    "é",
)
URIS = tuple(value for value in EXACT if ":" in value)
EMAILS = ("Barbara@contoso.com", "barbara@contoso.com", "BARBARA@contoso.com", "b@contoso.com", "jensen+b@contoso.com")
EXTERNAL_IDS = (
    "5f7cd2a5-9a5b-4f0e-8d4a-0c2f2f9e4a11",
    "5F7CD2A5-9A5B-4F0E-8D4A-0C2F2F9E4A11",
    "00000000-AAAA-4bbb-8ccc-000000000001",
    "jensen",
    "Jensen",
    "JENSEN",
    "é",
    "5f7cd2a5",
)
TYPES = ("work", "Work", "home", "other", "é", "É")
STAMPS = (
    "2024-02-29T23:59:59.999Z",
    "2026-11-24T18:27:59.000Z",
    "2026-11-24T18:27:59.123Z",
    "2026-11-24T18:27:59.124Z",
    "2026-11-24T18:28:00.001Z",
    "2027-01-01T00:00:00.009Z",
)


def folded(text: str) -> str:
    """Give what two texts have in common that differ in case, or in how their accents are written, alone."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())


# Resources ----------------------------------------------------------------------------------------------------------


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[JSON]:
    """An object with at least one of these members."""
    return st.fixed_dictionaries({}, optional=fields).filter(bool)


@st.composite
def several(draw: st.DrawFn, /, most: int = 3, **fields: st.SearchStrategy[Any]) -> list[JSON]:
    """A list of elements, one of them primary at most; `primary` is often not said."""
    elements = draw(st.lists(some(**fields), min_size=1, max_size=most))
    primary = draw(st.integers(-2, most - 1))
    for at, element in enumerate(elements):
        if at == primary:
            element["primary"] = True
        elif draw(st.booleans()):
            element["primary"] = False
    return elements


types = st.sampled_from(TYPES)
multi_valued = {
    "emails": several(value=st.sampled_from(EMAILS), type=types, display=texts),
    "phoneNumbers": several(value=texts, type=types),
    "ims": several(value=texts, type=types, most=2),
    "photos": several(value=st.sampled_from(URIS), type=types, most=2),
    "addresses": several(formatted=texts, locality=texts, country=texts, type=types),
    "entitlements": several(value=texts, type=types, most=2),
    "roles": several(value=texts, display=texts, type=types),
    "x509Certificates": several(value=st.sampled_from(["YWJj", "ywjJ", "QUJD"]), most=2),
}
single_valued = {
    "externalId": st.sampled_from(EXTERNAL_IDS),
    "displayName": texts,
    "nickName": texts,
    "title": texts,
    "userType": texts,
    "preferredLanguage": texts,
    "locale": texts,
    "timezone": texts,
    "profileUrl": st.sampled_from(URIS),
    "active": st.booleans(),
    "name": some(familyName=texts, givenName=texts, formatted=texts, middleName=texts),
}
managers = some(value=st.sampled_from(EXACT), **{"$ref": st.sampled_from(URIS)})
enterprise = some(department=texts, employeeNumber=texts, costCenter=texts, organization=texts, manager=managers)
user_attributes = {
    **single_valued,
    **multi_valued,
    ENTERPRISE_USER: enterprise,
    "urn:contoso:scim:schemas:1.0:User": st.fixed_dictionaries({"title": texts, "list": st.lists(texts, min_size=1)}),
}


@st.composite
def users(draw: st.DrawFn, names: st.SearchStrategy[str] = texts) -> JSON:
    """The attributes of a user: each attribute there or not."""
    return {"userName": draw(names), **draw(st.fixed_dictionaries({}, optional=user_attributes))}
