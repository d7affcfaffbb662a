"""Who may administer: a certificate named in the file, or the bearer of the token."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import HTTPException, Request

from ems.errors import BadInput

SHORTEST_TOKEN = 20
"""Characters; drawn at random from 64, that is 120 bits."""
BEARER = "token"
"""As the audit calls whoever comes with the token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """Asked at every request."""

    administrators: frozenset[str]
    """LFDIs."""
    token: str | None
    """None: only certificates open."""
    lfdi_of: Callable[[Mapping[str, Any]], str]
    """LFDI of the client, by the ASGI scope; empty where there is none."""

    def who(self, request: Request) -> str:
        """Who asks, as the audit names him.

        Raises:
            HTTPException: 401 nobody we know, 403 somebody who may not.
        """
        lfdi = self.lfdi_of(request.scope)
        if lfdi in self.administrators:
            return lfdi
        given = request.headers.get("authorization")
        if given is None:
            raise HTTPException(
                403, f"{lfdi or 'nobody'} is no administrator; name its LFDI in administrators"
            )
        scheme, _, token = given.partition(" ")
        if scheme.lower() == "bearer" and self.token and _same(token.strip(), self.token):
            return BEARER
        raise HTTPException(401, "this token does not open", {"WWW-Authenticate": "Bearer"})


def _same(one: str, other: str) -> bool:
    """In a time that does not tell how much of it was right."""
    return hmac.compare_digest(
        hashlib.sha256(one.encode()).digest(), hashlib.sha256(other.encode()).digest()
    )


def token_of(file: Path, place: str) -> str:
    """The first line of a file.

    Raises:
        BadInput: it cannot be read, or is too short to be a secret, or others may read it.
    """
    try:
        if file.stat().st_mode & 0o077:
            raise BadInput.at(place, f"{file} may be read by others; `chmod 600 {file}`")
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as fault:
        raise BadInput.at(place, f"{file} cannot be read: {fault.strerror}") from None
    token = lines[0].strip() if lines else ""
    if len(token) < SHORTEST_TOKEN:
        raise BadInput.at(
            place,
            f"{file}: a token has at least {SHORTEST_TOKEN} characters; "
            "`openssl rand -base64 32` makes one",
        )
    return token
