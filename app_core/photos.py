"""Photos of people: one each, whether the directory, an administrator or the person gave it.

One given by hand stands, whatever the directory has; when it is taken away, the directory's comes back (ADR 0020).

An image is known by its own header, never by what its sender says it is, and is kept and given back byte for byte: no
decoder runs here, so none can be attacked. What is not one of the four formats of the web is refused, SVG first of
all: it is a document with scripts.
"""

from collections.abc import Callable
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import ForeignKeyConstraint, Index, LargeBinary, bindparam, delete, null, select, update
from sqlmodel import Field, SQLModel

from app_core import people
from app_core.clock import Stamp
from app_core.db import KeyText, Statement, table_of, upsert
from app_core.directory import CONNECTION_OF, tenant
from app_core.errors import Invalid
from app_core.events import Event
from app_core.people import Person
from app_core.work import Work

MOST_BYTES = 4 * 1024 * 1024
MOST_PIXELS = 4096
"""Along each side."""


class Origin(StrEnum):
    """Who gave a photo."""

    HAND = "hand"
    """An administrator, or the person."""
    DIRECTORY = "directory"


class PhotoRow(SQLModel, table=True):
    """The photo of a person; `hash` is its name wherever it is shown, so that a new photo is a new address."""

    __tablename__ = "photo"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "person_id"], ["person.tenant_id", "person.id"], ondelete="CASCADE"),
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    person_id: str = Field(primary_key=True, sa_type=KeyText)
    data: bytes = Field(sa_type=LargeBinary)
    hash: str = Field(sa_type=KeyText)
    media_type: str = Field(sa_type=KeyText)
    width: int
    height: int
    origin: str = Field(default=Origin.HAND, sa_type=KeyText, sa_column_kwargs={"server_default": Origin.HAND.value})
    modified_at: str = Field(sa_type=KeyText)


class DirectoryPhotoRow(SQLModel, table=True):
    """What is known of the photo that the directory has of a user: `etag` is that of the one that was taken over last.

    It comes when the user is first seen, and goes with it. `due_at` says when the directory is asked next.
    """

    __tablename__ = "directory_photo"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "user_id"], ["directory_user.tenant_id", "directory_user.id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(["tenant_id", "connection_id"], CONNECTION_OF, ondelete="CASCADE"),
        Index("ix_directory_photo_due_at", "tenant_id", "connection_id", "due_at"),
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    user_id: str = Field(primary_key=True, sa_type=KeyText)
    connection_id: str = Field(sa_type=KeyText)
    etag: str | None
    asked_at: str | None = Field(sa_type=KeyText)
    due_at: str = Field(sa_type=KeyText)
    problem: str | None


class Photo(NamedTuple):
    """A photo as read."""

    data: bytes
    hash: str
    media_type: str
    width: int
    height: int
    modified_at: Stamp
    origin: str = Origin.HAND


F, D = table_of(PhotoRow), table_of(DirectoryPhotoRow)
THE_PHOTO = (F.c.tenant_id == tenant, F.c.person_id == bindparam("of_person"))
FIND = Statement(select(*[F.c[name] for name in Photo._fields]).where(*THE_PHOTO))
INSERT = upsert(F).values(
    tenant_id=tenant, person_id=bindparam("of_person"), **{name: bindparam(name) for name in Photo._fields}
)
PUT = Statement(
    INSERT.on_conflict_do_update(
        index_elements=["tenant_id", "person_id"], set_={name: INSERT.excluded[name] for name in Photo._fields}
    )
)
SET_ORIGIN = Statement(
    update(F)
    .where(*THE_PHOTO, F.c.origin != bindparam("new", type_=KeyText))
    .values(origin=bindparam("new", type_=KeyText))
)
ORIGIN = Statement(select(F.c.origin).where(*THE_PHOTO))
REMOVE = Statement(delete(F).where(*THE_PHOTO).returning(F.c.origin))
ASK_AGAIN = Statement(
    update(D)
    .where(D.c.tenant_id == tenant, D.c.user_id == bindparam("user_id"))
    .values(etag=null(), due_at=bindparam("now"))
)
HAND_OVER = Statement(update(F).where(*THE_PHOTO).values(person_id=bindparam("heir_id")).returning(F.c.hash))


def get(work: Work, person_id: str) -> Photo | None:
    """Read the photo of a person."""
    row = work.row(FIND, of_person=person_id)
    return None if row is None else Photo(bytes(row[0]), *row[1:])


def put(work: Work, person: Person, data: bytes, *, origin: Origin = Origin.HAND) -> bool:
    """Give a person that the caller holds a photo; say whether that is a change. Raises Invalid (`check_image`).

    One of the directory's leaves alone what was given by hand.
    """
    media_type, width, height = check_image(data)
    if origin is Origin.DIRECTORY and is_by_hand(work, person):
        return False
    name = sha256(data).hexdigest()
    if name == person.photo_hash:
        if work.run(SET_ORIGIN, of_person=person.id, new=origin) and origin is Origin.HAND:
            _ask_again(work, person)
        return False
    photo = Photo(data, name, media_type, width, height, work.now, origin)
    work.run(PUT, of_person=person.id, **photo._asdict())
    if origin is Origin.HAND:
        _ask_again(work, person)
    _tell(work, person, name)
    return True


def remove(work: Work, person: Person) -> bool:
    """Take the photo of a person that the caller holds away; say whether there was one.

    After one that was given by hand the directory's comes back; one of the directory's stays away until it is another.
    """
    rows = [] if person.photo_hash is None else work.rows(REMOVE, of_person=person.id)
    if not rows:
        return False
    if rows[0][0] == Origin.HAND:
        _ask_again(work, person)
    _tell(work, person, None)
    return True


def is_by_hand(work: Work, person: Person) -> bool:
    """Say whether a person has a photo that an administrator, or the person, gave."""
    row = None if person.photo_hash is None else work.row(ORIGIN, of_person=person.id)
    return row is not None and row[0] == Origin.HAND


def _ask_again(work: Work, person: Person) -> None:
    """Have the directory asked for its photo, as if it had never been."""
    if person.directory_user_id is not None:
        work.run(ASK_AGAIN, user_id=person.directory_user_id, now=work.now)


def hand_over(work: Work, person_id: str, heir_id: str) -> None:
    """Give a person's photo to another who has none: the two are one."""
    row = work.row(HAND_OVER, of_person=person_id, heir_id=heir_id)
    if row is not None:
        people.set_photo(work, person_id, None)
        people.set_photo(work, heir_id, str(row[0]))


def _tell(work: Work, person: Person, name: str | None) -> None:
    people.set_photo(work, person.id, name)
    work.record(Event("person.updated", person.id, {"changed": ["photo"]}))


# What is an image ---------------------------------------------------------------------------------------------------

Size = tuple[int, int]


def check_image(data: bytes) -> tuple[str, int, int]:
    """Give an image's media type, width and height as its own header says. Raises Invalid for what is not kept."""
    if len(data) > MOST_BYTES:
        raise Invalid(f"The photo has {len(data)} bytes; at most {MOST_BYTES} are kept. Send a smaller one.")
    for media_type, size_of in FORMATS.items():
        size = size_of(data)
        if size is not None:
            width, height = size
            if not (0 < width <= MOST_PIXELS and 0 < height <= MOST_PIXELS):
                raise Invalid(
                    f"The photo is {width} × {height} pixels; at most {MOST_PIXELS} × {MOST_PIXELS} are kept, "
                    "and at least one."
                )
            return media_type, width, height
    raise Invalid("This is no photo that can be shown. Send a JPEG, PNG, GIF or WebP image.")


def _png(data: bytes) -> Size | None:
    """ISO/IEC 15948 §11.2.2: the first chunk is IHDR, of 13 bytes."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR") or len(data) < 33:
        return None
    return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])


def _gif(data: bytes) -> Size | None:
    """GIF89a §18: the logical screen follows the signature."""
    if not data.startswith((b"GIF87a", b"GIF89a")) or len(data) < 13:
        return None
    return int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")


SIZED = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""The markers of JPEG that begin a frame (ISO/IEC 10918-1 table B.1)."""
ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a length: TEM and the restarts."""
ENDS = frozenset({0xD8, 0xD9, 0xDA})
"""Behind these no frame can begin any more: a second image, the end, the scan."""


MOST_SEGMENTS = 1000
"""Real photos have a few dozen; nobody shall keep us reading."""


def _jpeg(data: bytes) -> Size | None:
    """ISO/IEC 10918-1 §B.2.2: segments one behind the other, until the frame says its size."""
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    at = 2
    for _ in range(MOST_SEGMENTS):
        if at + 9 > len(data) or data[at] != 0xFF:
            return None
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if marker in SIZED:
            height, width = data[at + 5 : at + 7], data[at + 7 : at + 9]
            return (int.from_bytes(width), int.from_bytes(height)) if length >= 8 else None
        if marker == 0xFF:
            at += 1  # any marker may have fill bytes in front (§B.1.1.2)
        elif marker in ALONE:
            at += 2
        elif marker in ENDS or length < 2:
            return None
        else:
            at += 2 + length
    return None


def _webp(data: bytes) -> Size | None:
    """RFC 9649 §2: one RIFF form whose first chunk says the size, in one of three ways."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    chunk, body = data[12:16], data[20:30]
    if chunk == b"VP8L" and len(body) >= 5 and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if len(body) < 10:
        return None
    if chunk == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    if chunk == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    return None


FORMATS: dict[str, Callable[[bytes], Size | None]] = {
    "image/jpeg": _jpeg,
    "image/png": _png,
    "image/gif": _gif,
    "image/webp": _webp,
}
