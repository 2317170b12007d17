"""Secrets sealed at rest: what we must be able to read again, so that a hash will not do.

The keys come from the operator's SECRET_KEY and are never stored. Several may be set, separated by commas: the first
seals, all of them open, so a key is rotated by putting the new one in front and resealing what the old one sealed.
"""

import base64
import re
from collections.abc import Sequence
from functools import cache
from hashlib import scrypt

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app_core.errors import DomainError

SEALED = re.compile(r"([0-9a-f]{8})\.([\w-]+={0,2})", re.ASCII)
"""Which key sealed it, then the Fernet token."""


class SealBroken(DomainError):
    """What was sealed cannot be opened: its key is gone, or it is not what was sealed."""

    code = "seal-broken"


class Sealer:
    """Seals and opens texts under the keys of this server."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys or not all(keys):
            raise ValueError("at least one key, and none that is empty")
        self._keys = tuple(dict.fromkeys(keys))
        self._rings: dict[str, MultiFernet] = {}

    def seal(self, text: str, purpose: str) -> str:
        """Seal a text. It can be opened for the same purpose only: what was sealed for one place fits no other."""
        return f"{self.key_id}.{self._ring(purpose).encrypt(text.encode()).decode()}"

    def open(self, sealed: str, purpose: str) -> str:
        """Give the text back. Raises SealBroken."""
        key_id, token = self._parted(sealed)
        try:
            return self._ring(purpose).decrypt(token).decode()
        except InvalidToken:
            raise SealBroken(self._reason(key_id), key_id=key_id) from None

    def reseal(self, sealed: str, purpose: str) -> str:
        """Give what was sealed under the first key; as it is when that is its key already. Raises SealBroken."""
        return sealed if self.is_current(sealed) else self.seal(self.open(sealed, purpose), purpose)

    def is_current(self, sealed: str) -> bool:
        """Say whether the first key sealed it. Once all are, the other keys can be taken away."""
        return sealed.startswith(f"{self.key_id}.")

    @property
    def key_id(self) -> str:
        """Name the key that seals: what stands in front of all that it sealed."""
        return _key_id(self._keys[0])

    def _ring(self, purpose: str) -> MultiFernet:
        if purpose not in self._rings:
            self._rings[purpose] = MultiFernet([Fernet(_derived(key, f"seal {purpose}")) for key in self._keys])
        return self._rings[purpose]

    def _parted(self, sealed: str) -> tuple[str, bytes]:
        found = SEALED.fullmatch(sealed)
        if found is None:
            raise SealBroken("This was not sealed here.")
        return found[1], found[2].encode()

    def _reason(self, key_id: str) -> str:
        if key_id in map(_key_id, self._keys):
            return "What was sealed has been changed since, or was sealed for something else. Enter the secret again."
        return (
            f"This was sealed with the key {key_id}, which SECRET_KEY no longer names. "
            "Put that key behind the present one, separated by a comma, or enter the secret again."
        )


def keys_of(setting: str) -> tuple[str, ...]:
    """Read the keys out of SECRET_KEY: one, or several separated by commas, the one that seals first."""
    return tuple(key for key in (part.strip() for part in setting.split(",")) if key)


@cache
def _root(key: str) -> bytes:
    # A key may be as short as the settings allow: guessing it from a stolen database is made slow (50 ms a guess).
    return scrypt(key.encode(), salt=b"scim-server sealing", n=2**14, r=8, p=1, dklen=32)


def _derived(key: str, purpose: str) -> bytes:
    derived = HKDF(SHA256(), length=32, salt=None, info=purpose.encode()).derive(_root(key))
    return base64.urlsafe_b64encode(derived)


@cache
def _key_id(key: str) -> str:
    return base64.urlsafe_b64decode(_derived(key, "key id"))[:4].hex()
