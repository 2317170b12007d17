"""Secrets: make, hash, compare. Only hashes are ever stored."""

import hashlib
import os
import secrets

TOKEN_PREFIX = "scim_"


def new_token() -> str:
    """Make a SCIM token: a recognisable prefix and 256 random bits."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """Hash a random token for storage; 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


def hint(token: str) -> str:
    """Say enough of a token to recognise it in a list, and too little to use it."""
    return token[: len(TOKEN_PREFIX) + 4]


def password_hash(password: str) -> str:
    """Hash a password that a directory sent (RFC 7643 §4.1.1: never stored in clear, never returned)."""
    salt = os.urandom(16)
    digest = hashlib.scrypt(password.encode(), salt=salt, n=2**13, r=8, p=1)
    return f"scrypt$13$8$1${salt.hex()}${digest.hex()}"
