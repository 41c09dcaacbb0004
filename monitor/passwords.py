"""Passwords as they are stored: salted scrypt hashes, which cost memory and time to try out.

The notation is that of other tools: `$scrypt$ln=14,r=8,p=5$SALT$HASH` (PHC string format), salt and
hash in base64 without padding. The default cost is one of those that the OWASP Password Storage
Cheat Sheet takes for equal: 16 MiB and some tenths of a second for each attempt.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import unicodedata
from typing import NamedTuple

SALT_BYTES = 16
HASH_BYTES = 32
MOST_MEMORY = 256 * 2**20
_BASE64 = "[A-Za-z0-9+/]"
_NOTATION = re.compile(
    r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})"
    rf"\$({_BASE64}{{11,86}})\$({_BASE64}{{43,86}})"
)


class Cost(NamedTuple):
    """What one attempt costs: `128 * r * 2**ln` bytes of memory, gone over `p` times."""

    ln: int = 14
    r: int = 8
    p: int = 5

    @property
    def memory(self) -> int:
        """Bytes."""
        return int(128 * self.r * 2**self.ln)


class PasswordHash(NamedTuple):
    """A stored password; `matches` tells whether another one is the same."""

    cost: Cost
    salt: bytes
    digest: bytes

    def matches(self, password: str) -> bool:
        """Takes as long for a wrong password as for the right one."""
        return hmac.compare_digest(_derive(password, self.salt, self.cost), self.digest)

    def __str__(self) -> str:
        ln, r, p = self.cost
        return f"$scrypt$ln={ln},r={r},p={p}${_encode(self.salt)}${_encode(self.digest)}"


COST = Cost()


def hash_password(password: str, cost: Cost = COST) -> PasswordHash:
    """A new salt, and the hash under it."""
    salt = secrets.token_bytes(SALT_BYTES)
    return PasswordHash(cost, salt, _derive(password, salt, cost))


def parse(text: str) -> PasswordHash:
    """Read the notation back. Raises ValueError, which never holds the text."""
    found = _NOTATION.fullmatch(text)
    if not found:
        raise ValueError("not the hash of a password; make one with 'monitor hash-password'")
    cost = Cost(*map(int, found.group(1, 2, 3)))
    if not (10 <= cost.ln <= 20 and cost.r >= 1 and cost.p >= 1 and cost.memory <= MOST_MEMORY):
        raise ValueError(
            f"a hash with ln={cost.ln}, r={cost.r}, p={cost.p}; ln is 10 to 20, r and p at least "
            f"1, and the memory at most {MOST_MEMORY // 2**20} MiB"
        )
    try:
        return PasswordHash(cost, _decode(found[4]), _decode(found[5]))
    except binascii.Error:
        raise ValueError("a hash of a password that is cut off") from None


def _derive(password: str, salt: bytes, cost: Cost) -> bytes:
    # The same letters typed on another keyboard may be composed of other code points.
    typed = unicodedata.normalize("NFC", password).encode(errors="surrogatepass")
    return hashlib.scrypt(
        typed,
        salt=salt,
        n=2**cost.ln,
        r=cost.r,
        p=cost.p,
        # What OpenSSL counts besides the table itself.
        maxmem=cost.memory + 128 * cost.r * (cost.p + 2) + 2**20,
        dklen=HASH_BYTES,
    )


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
