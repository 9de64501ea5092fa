"""Enciphers what passes between the coordinator and a worker, for the eyes of neither scheduler nor log.

Dask prints whole messages where its loggers are at DEBUG, and its scheduler holds them. What is agreed here keeps credentials and
cursors out of both. It does not say who the other one is: that is the business of TLS.
"""

from __future__ import annotations

import os

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PUBLIC_BYTES, NONCE_BYTES = 32, 12


class Half:
    """One side's part of an agreement."""

    def __init__(self) -> None:
        self._private = X25519PrivateKey.generate()

    @property
    def public(self) -> bytes:
        """What the other side needs; anyone may see it."""
        return self._private.public_key().public_bytes_raw()

    def agree(self, public: bytes) -> Cipher:
        """The cipher that both sides come to, each with the public part of the other."""
        shared = self._private.exchange(X25519PublicKey.from_public_bytes(public))
        return Cipher(HKDF(SHA256(), 32, salt=None, info=b"dsync worker").derive(shared))


class Cipher:
    """Enciphers messages of any number, each of them on its own."""

    def __init__(self, key: bytes) -> None:
        self._cipher = ChaCha20Poly1305(key)

    def close(self, message: bytes) -> bytes:
        """The message as nobody else can read it."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, message, None)

    def open(self, closed: bytes) -> bytes:
        """The inverse of `close`. Raises cryptography's InvalidTag for anything else."""
        return self._cipher.decrypt(closed[:NONCE_BYTES], closed[NONCE_BYTES:], None)
