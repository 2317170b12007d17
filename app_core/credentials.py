"""Secrets: make, hash, compare. Only hashes are ever stored."""

import hashlib
import hmac
import os
import re
import secrets

TOKEN_PREFIX = "scim_"
API_KEY_PREFIX = "scimapi_"
CLAIM_PREFIX = "scimclaim_"
CONSENT_PREFIX = "scimconsent_"
LINK_PREFIX = "scimlink_"
SESSION_PREFIX = "scimsession_"
FLOW_PREFIX = "scimflow_"
PREFIXES = (
    TOKEN_PREFIX,
    API_KEY_PREFIX,
    CLAIM_PREFIX,
    CONSENT_PREFIX,
    LINK_PREFIX,
    SESSION_PREFIX,
    FLOW_PREFIX,
)
SECRET = re.compile(rf"(?:{'|'.join(PREFIXES)})[\w-]{{16,}}")
"""Every secret made here by its prefix, wherever somebody may have put it."""

# Crockford's base 32: no I, L, O and U; who reads a 0 as O or a 1 as I or L is understood.
CODE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_LENGTH, CODE_GROUP = 12, 4
AS_MEANT = str.maketrans("OIL", "011", "-–— \t\xa0")


def new_token(prefix: str = TOKEN_PREFIX) -> str:
    """Make a secret for machines: a recognisable prefix and 256 random bits."""
    return prefix + secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """Hash a random token for storage; 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


def hint(token: str) -> str:
    """Say enough of a token to recognise it in a list, and too little to use it."""
    return token[: token.index("_") + 5]


def new_code() -> str:
    """Make a start code for people to type, such as `4K7Q-9WZX-2M3T`: 60 random bits."""
    code = "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH))
    return "-".join(code[at : at + CODE_GROUP] for at in range(0, CODE_LENGTH, CODE_GROUP))


def code_hash(code: str) -> str:
    """Hash a start code for storage. 60 bits could be searched through, so the hash is salted and slow (2 ms)."""
    salt = os.urandom(16)
    return f"scrypt$10$8$1${salt.hex()}${_code_digest(code, salt).hex()}"


def code_matches(code: str, stored: str | None) -> bool:
    """Say whether a typed code is the stored one, in as much time when there is none."""
    salt, _, digest = (stored or NO_CODE).removeprefix("scrypt$10$8$1$").partition("$")
    same = hmac.compare_digest(_code_digest(code, bytes.fromhex(salt)), bytes.fromhex(digest))
    return same and stored is not None


def _code_digest(code: str, salt: bytes) -> bytes:
    typed = code.upper().translate(AS_MEANT).encode(errors="replace")
    return hashlib.scrypt(typed, salt=salt, n=2**10, r=8, p=1, dklen=32)


NO_CODE = code_hash("")


def password_hash(password: str) -> str:
    """Hash a password that a directory sent (RFC 7643 §4.1.1: never stored in clear, never returned)."""
    salt = os.urandom(16)
    digest = hashlib.scrypt(password.encode(), salt=salt, n=2**13, r=8, p=1)
    return f"scrypt$13$8$1${salt.hex()}${digest.hex()}"
