"""Directories to start from: a plausible company, and a large one whose numbers are what matters."""

import contextlib
import gc
import math
import random
from collections.abc import Iterator

from runtime.simulator.directory import Directory, Entry, Kind, Properties
from runtime.simulator.pictures import drawn

GIVEN_NAMES = (
    *("Adele", "Ahmed", "Anna", "Barbara", "Benno", "Chiara", "Clara", "Daniel", "Diego", "Elif", "Emil", "Esther"),
    *("Felix", "Finn", "Greta", "Hannah", "Henrik", "Ines", "Isaac", "Jana", "Jonas", "Karim", "Katja", "Lars"),
    *("Lea", "Luis", "Malte", "Maria", "Mei", "Milan", "Nadia", "Nils", "Nora", "Olga", "Omar", "Paul", "Pia"),
    *("Quentin", "Rana", "Robert", "Sana", "Sören", "Tariq", "Theresa", "Uma", "Viktor", "Wanda", "Yara", "Yusuf"),
)
SURNAMES = (
    *("Albers", "Almeida", "Bauer", "Becker", "Berg", "Castro", "Chen", "Costa", "Demir", "Dietrich", "Eriksen"),
    *("Fischer", "Fontaine", "Garcia", "Gruber", "Haddad", "Hoffmann", "Ivanov", "Jensen", "Kaya", "Keller", "Khan"),
    *("Krüger", "Lange", "Lindqvist", "Maier", "Marino", "Meyer", "Moreau", "Müller", "Nakamura", "Novak", "Okafor"),
    *("Olsen", "Patel", "Peeters", "Petrov", "Ricci", "Roth", "Sato", "Schmidt", "Schulz", "Silva", "Tanaka"),
    *("Torres", "Vance", "Wagner", "Weber", "Winter", "Wójcik", "Yilmaz", "Zimmer"),
)
DEPARTMENTS = {
    "Sales": ("Account Executive", "Sales Manager", "Key Account Manager"),
    "Engineering": ("Software Engineer", "Site Reliability Engineer", "Engineering Manager"),
    "Design": ("Product Designer", "Illustrator"),
    "Finance": ("Controller", "Accountant"),
    "Support": ("Support Engineer", "Team Lead Support"),
    "Marketing": ("Content Editor", "Campaign Manager"),
}
OFFICES = (
    ("Berlin, 18/2111", "Invalidenstraße 112", "Berlin", "Berlin", "10115", "Germany", "+493023125", "de-DE"),
    ("München, 3. OG", "Sendlinger Straße 8", "München", "Bayern", "80331", "Germany", "+498912345", "de-DE"),
    ("San Diego, 2/102", "9256 Towne Center Dr.", "San Diego", "CA", "92121", "United States", "+18585550", "en-US"),
    ("Zürich", "Bahnhofstrasse 21", "Zürich", "ZH", "8001", "Switzerland", "+41443123", "de-CH"),
)
GROUPS = (
    *("All Employees", "Sales", "Engineering", "Design", "Finance", "Support", "Marketing"),
    *("Sales EMEA", "Management", "Works Council", "On-call", "Onboarding", "Trade Fair Team", "Newsletter"),
)


def company(directory: Directory, people: int, groups: int, seed: int = 0, *, oddities: bool = False) -> None:
    """Fill a directory with a plausible company: departments, managers, some photos, groups that overlap.

    `oddities` adds what real directories hold as well: a guest, someone without mail, a phone number nobody can dial, a
    group inside a group, a device as a member.
    """
    chance = random.Random(seed)
    staff = [directory.create_user(_person(directory, n, chance), directory.new_id()) for n in range(people)]
    for n, user in enumerate(staff):
        if n > 0:
            directory.set_manager(user, staff[(n - 1) // 7])
        if n % 3 == 0:
            directory.set_photo(user, drawn(user.id))
    for name in _group_names(groups):
        group = directory.create_group({"displayName": name, "description": f"{name} at {directory.name}"})
        directory.add_members(group, _chosen(name, staff, chance))
    if oddities:
        _add_oddities(directory, staff)


def large(directory: Directory, people: int, groups: int, memberships: int) -> None:
    """Fill a directory by numbers. The first group gets a fifth of all memberships, the others share the rest.

    Raises ValueError when a group would need more members than there are people.
    """
    first = min(people, memberships // 5 if groups > 1 else memberships)
    rest, others = memberships - first, max(groups - 1, 1)
    if rest > people * others or memberships > people * groups:
        raise ValueError(f"{groups} groups of {people} people cannot hold {memberships} memberships.")
    # A step that shares no factor with the number of people meets each once before it meets anybody again.
    step = next(step for step in range(7919, 7919 + people + 1) if math.gcd(step, people) == 1)
    with _without_collector():
        staff = [directory.create_user(_numbered(directory, n), directory.new_id()) for n in range(people)]
        for n in range(1, people):
            directory.set_manager(staff[n], staff[(n - 1) // 10])
        for g in range(groups):
            group = directory.create_group({"displayName": f"Group {g:05}", "description": f"Group number {g}"})
            size = first if g == 0 else rest // others + (1 if g <= rest % others else 0)
            directory.add_members(group, (staff[(g * 97 + k * step) % people] for k in range(size)))


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Make a million objects that stay, without looking for garbage among them again and again."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()


def churn(directory: Directory, count: int, seed: int) -> list[str]:
    """Make a number of random changes, as a working day does; give what was done."""
    chance = random.Random(seed)
    return [_one_change(directory, chance, f"{seed}-{n}") for n in range(count)]


def _one_change(directory: Directory, chance: random.Random, mark: str) -> str:
    users, groups = list(directory.live[Kind.USER].values()), list(directory.live[Kind.GROUP].values())
    deleted = [entry for entry in directory.deleted.values() if entry.kind is Kind.USER]
    user = chance.choice(users)
    group = chance.choice(groups) if groups else None
    roll = chance.random()
    if roll < 0.30 or group is None:
        directory.change(user, {"jobTitle": f"Title {mark}", "department": chance.choice([*DEPARTMENTS, None])})
        return f"changed {user.name}"
    if roll < 0.40:
        directory.change(group, {"displayName": f"Group {mark}"})
        return f"renamed {group.id}"
    if roll < 0.65:
        directory.add_members(group, [user])
        return f"added {user.name} to {group.id}"
    if roll < 0.80 and group.members:
        member = directory.entries[chance.choice(list(group.members))]
        directory.remove_members(group, [member])
        return f"removed {member.name} from {group.id}"
    if roll < 0.88:
        made = directory.create_user(_numbered(directory, 0) | {"userPrincipalName": f"new-{mark}@{directory.domain}"})
        directory.add_members(group, [made])
        return f"created {made.name}"
    if roll < 0.94 and len(users) > 10:
        directory.delete(user)
        return f"deleted {user.id}"
    if deleted:
        entry = chance.choice(deleted)
        if chance.random() < 0.5:
            directory.restore(entry)
            return f"restored {entry.id}"
        directory.purge(entry)
        return f"purged {entry.id}"
    directory.change(user, {"accountEnabled": not user.properties["accountEnabled"]})
    return f"switched {user.name}"


def _person(directory: Directory, n: int, chance: random.Random) -> Properties:
    given, surname = chance.choice(GIVEN_NAMES), chance.choice(SURNAMES)
    department = list(DEPARTMENTS)[n % len(DEPARTMENTS)]
    office, street, city, state, postal_code, country, phones, language = OFFICES[n % len(OFFICES)]
    alias = f"{_plain(given)}.{_plain(surname)}{n or ''}"
    return {
        "userPrincipalName": f"{alias}@{directory.domain}",
        "mail": f"{alias}@{directory.domain}",
        "mailNickname": alias,
        "displayName": f"{given} {surname}",
        "givenName": given,
        "surname": surname,
        "jobTitle": chance.choice(DEPARTMENTS[department]),
        "department": department,
        "companyName": directory.name,
        "employeeId": str(700_000 + n),
        "officeLocation": office,
        "streetAddress": street,
        "city": city,
        "state": state,
        "postalCode": postal_code,
        "country": country,
        "businessPhones": [f"{phones}{n % 1000:03}"],
        "mobilePhone": f"+4915123{n:06}",
        "preferredLanguage": language,
    }


def _numbered(directory: Directory, n: int) -> Properties:
    """Describe the n-th person of a crowd; what can be shared between them is."""
    departments = list(DEPARTMENTS)
    department = departments[n % len(departments)]
    return {
        "userPrincipalName": f"person{n:06}@{directory.domain}",
        "mail": f"person{n:06}@{directory.domain}",
        "displayName": f"Person {n:06}",
        "givenName": GIVEN_NAMES[n % len(GIVEN_NAMES)],
        "surname": SURNAMES[n % len(SURNAMES)],
        "jobTitle": DEPARTMENTS[department][0],
        "department": department,
        "companyName": directory.name,
        "officeLocation": OFFICES[n % len(OFFICES)][0],
        "businessPhones": [f"+493023125{n % 1000:03}"],
        "preferredLanguage": "en-US",
    }


def _group_names(count: int) -> Iterator[str]:
    for n in range(count):
        yield GROUPS[n] if n < len(GROUPS) else f"Project {n - len(GROUPS) + 1:03}"


def _chosen(name: str, staff: list[Entry], chance: random.Random) -> list[Entry]:
    if name == "All Employees":
        return staff
    if name in DEPARTMENTS:
        return [user for user in staff if user.properties["department"] == name]
    return chance.sample(staff, k=max(1, len(staff) // 4)) if staff else []


def _add_oddities(directory: Directory, staff: list[Entry]) -> None:
    directory.change(staff[-1], {"mobilePhone": "0151 / 23 45 67", "department": "SALES – EMEA"})
    directory.change(staff[-2], {"mail": None, "streetAddress": "Haus 4\nEingang B"})
    guest = directory.create_user(
        {
            "userPrincipalName": f"lee_fabrikam.com#EXT#@{directory.domain}",
            "mail": "lee@fabrikam.com",
            "displayName": "Lee (Fabrikam)",
            "userType": "Guest",
        }
    )
    printer = directory.create_other(Kind.DEVICE, "Printer on the second floor")
    groups = list(directory.live[Kind.GROUP].values())
    directory.add_members(groups[-1], [guest, printer])
    if len(groups) > 2:
        directory.add_members(groups[-1], [groups[1]])


def _plain(text: str) -> str:
    """Write a name as addresses take it."""
    for letter, plain in {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ó": "o"}.items():
        text = text.replace(letter, plain)
    return text.lower()
