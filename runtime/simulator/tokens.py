"""JSON Web Tokens, RS256: signed with the simulator's keys, and read when a client proves itself with a certificate.

Written on `cryptography` alone: the product's own reader is not used here, so that the two can disagree.
"""

import base64
import hashlib
from typing import Any

import orjson
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

Claims = dict[str, Any]


class BadToken(Exception):
    """A token that cannot be believed; the text says why."""


class SigningKey:
    """One RSA key and what is published of it."""

    def __init__(self) -> None:
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        numbers = self.private.public_key().public_numbers()
        self.n = encoded(numbers.n.to_bytes(256))
        self.e = encoded(numbers.e.to_bytes(3))
        self.id = encoded(hashlib.sha1(self.n.encode(), usedforsecurity=False).digest())

    def published(self, issuer: str) -> Claims:
        """Give the key as a key set lists it."""
        shared = {"kty": "RSA", "use": "sig", "alg": "RS256"}
        return {**shared, "kid": self.id, "x5t": self.id, "n": self.n, "e": self.e, "issuer": issuer}


class Keys:
    """The keys of all tenants: the last one signs, the ones before are published still."""

    def __init__(self) -> None:
        self.keys = [SigningKey()]
        self._believed: dict[str, Claims] = {}

    def rotate(self, *, keep_old: bool = True) -> None:
        """Sign with a new key from now on."""
        self.keys = [*(self.keys if keep_old else []), SigningKey()]
        self._believed.clear()

    def published(self, issuer: str) -> Claims:
        """Give the key set."""
        return {"keys": [key.published(issuer) for key in self.keys]}

    def sign(self, claims: Claims) -> str:
        """Make a token."""
        key = self.keys[-1]
        head = {"typ": "JWT", "alg": "RS256", "x5t": key.id, "kid": key.id}
        text = f"{encoded(orjson.dumps(head))}.{encoded(orjson.dumps(claims))}"
        signature = key.private.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{encoded(signature)}"

    def read(self, token: str) -> Claims:
        """Read a token of ours; times are the caller's to check. Raises BadToken."""
        believed = self._believed.get(token)
        if believed is not None:
            return believed
        head, claims = parsed(token)
        key = next((key for key in self.keys if key.id == head.get("kid")), None)
        if key is None:
            raise BadToken("the key is unknown")
        check_signature(token, "RS256", key.private.public_key())
        if len(self._believed) > 1000:
            self._believed.clear()
        self._believed[token] = claims
        return claims


class Certificate:
    """A certificate that an application has registered, by which it signs its assertions."""

    def __init__(self, pem: str) -> None:
        self.certificate = x509.load_pem_x509_certificate(pem.encode())
        key = self.certificate.public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise BadToken("the certificate holds no RSA key")
        self.key = key
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        self.thumbprints = {
            encoded(hashlib.sha256(der).digest()),
            encoded(hashlib.sha1(der, usedforsecurity=False).digest()),
        }

    def signed(self, token: str, head: Claims) -> bool:
        """Say whether a token names this certificate and is signed by its key."""
        # msal leaves the padding on.
        named = {str(head.get(name, "")).rstrip("=") for name in ("x5t#S256", "x5t")}
        if not named & self.thumbprints:
            return False
        try:
            check_signature(token, str(head.get("alg")), self.key)
        except BadToken:
            return False
        return True


def parsed(token: str) -> tuple[Claims, Claims]:
    """Take a token apart without believing it. Raises BadToken."""
    try:
        head, claims, _ = token.split(".")
        parts = orjson.loads(decoded(head)), orjson.loads(decoded(claims))
    except ValueError:
        raise BadToken("it is no JSON Web Token") from None
    if not all(isinstance(part, dict) for part in parts):
        raise BadToken("it is no JSON Web Token")
    return parts


def check_signature(token: str, algorithm: str, key: rsa.RSAPublicKey) -> None:
    """Hold a signature against a key. Raises BadToken."""
    paddings: dict[str, padding.AsymmetricPadding] = {
        "RS256": padding.PKCS1v15(),
        "PS256": padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH),
    }
    if algorithm not in paddings:
        raise BadToken(f"the algorithm {algorithm} is not taken")
    text, _, signature = token.rpartition(".")
    try:
        key.verify(decoded(signature), text.encode(), paddings[algorithm], hashes.SHA256())
    except (InvalidSignature, ValueError):
        raise BadToken("the signature is wrong") from None


def encoded(data: bytes) -> str:
    """Write bytes as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """Read base64url without padding. Raises ValueError."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
