"""Sign-in with an identity provider: OpenID Connect's authorization code with PKCE, by Authlib.

What the browser has to bring back is in a cookie of its own and not here, so a service that starts again loses no
sign-in, and strangers fill no memory.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from requests import RequestException

from pipelines.service.config import OidcSpec, RolesSpec
from pipelines.service.errors import SignInError
from tracking.store.accounts import SCOPES, Scope

# With public keys alone: by the others, whoever knows the client's secret could make tokens.
_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_METADATA_S = 600.0
_PATIENCE_S = 10.0
_LEEWAY_S = 60
_log = logging.getLogger("kerastudy.sign_in")


@dataclass(frozen=True)
class Attempt:
    """What a browser keeps while its person is at the provider."""

    state: str
    nonce: str
    verifier: str
    next: str


@dataclass(frozen=True)
class Person:
    """A person whom the provider vouches for, with the scope of their roles."""

    issuer: str
    subject: str
    name: str
    scope: Scope


class OidcProvider:
    """The identity provider of a service."""

    def __init__(self, spec: OidcSpec) -> None:
        self._spec = spec
        self._lock = threading.Lock()
        self._metadata: tuple[Mapping[str, Any], float] | None = None

    def begin(self, redirect_uri: str, next_: str) -> tuple[str, Attempt]:
        """Return the provider's address for the browser, and what the browser keeps meanwhile.

        Raises:
            SignInError: if the provider does not answer.
        """
        attempt = Attempt(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48), next_)
        metadata = self._read_metadata()
        with self._open_client(redirect_uri, metadata) as client:
            url, _ = client.create_authorization_url(
                metadata["authorization_endpoint"],
                state=attempt.state,
                nonce=attempt.nonce,
                code_verifier=attempt.verifier,
            )
        return str(url), attempt

    def finish(self, attempt: Attempt, redirect_uri: str, answer: Mapping[str, str]) -> Person:
        """Return who came back from the provider.

        Args:
            attempt: what the browser kept.
            redirect_uri: the address that it came back to.
            answer: the query of that address.

        Raises:
            SignInError: if this is no answer to the attempt, the provider refuses, or the person has no role here.
        """
        if not hmac.compare_digest(answer.get("state", ""), attempt.state):
            raise SignInError("this is the answer to another sign-in: begin again")
        if "error" in answer:
            raise SignInError(f"the provider refused: {answer['error'][:100]}")
        if answer.get("iss", self._spec.issuer) != self._spec.issuer:
            raise SignInError("this answer came from another provider")
        try:
            claims = self._redeem(attempt, redirect_uri, answer.get("code", ""))
        except (OAuthError, JoseError, RequestException, ValueError, KeyError) as error:
            # For the operator: what exactly was wrong with a token is no stranger's concern.
            _log.warning("a sign-in failed: %s: %s", type(error).__name__, error)
            raise SignInError("the provider's answer could not be verified; the service's log has the reason") from None
        scope = _find_scope(self._spec.roles, _list_values(claims, self._spec.claim))
        if scope is None:
            raise SignInError(f"your account has no role here: its claim {self._spec.claim} gives none")
        name = claims.get(self._spec.name_claim) or claims.get("email") or claims["sub"]
        return Person(self._spec.issuer, str(claims["sub"]), str(name), scope)

    def _redeem(self, attempt: Attempt, redirect_uri: str, code: str) -> Mapping[str, Any]:
        """Return the claims of the verified id token, and of the provider's `userinfo` where it lacks the roles."""
        metadata = self._read_metadata()
        with self._open_client(redirect_uri, metadata) as client:
            token = client.fetch_token(
                metadata["token_endpoint"], code=code, code_verifier=attempt.verifier, timeout=_PATIENCE_S
            )
            keys = KeySet.import_key_set(
                client.get(metadata["jwks_uri"], withhold_token=True, timeout=_PATIENCE_S).json()
            )
            decoded = jwt.decode(token["id_token"], keys, algorithms=list(_ALGORITHMS))
            expected = {
                "iss": {"essential": True, "value": self._spec.issuer},
                "aud": {"essential": True, "value": self._spec.client_id},
            }
            params = {
                "nonce": attempt.nonce,
                "client_id": self._spec.client_id,
                "access_token": token.get("access_token"),
            }
            claims = CodeIDToken(decoded.claims, decoded.header, expected, params)
            claims.validate(leeway=_LEEWAY_S)
            found = dict(claims)
            if not _list_values(found, self._spec.claim) and "userinfo_endpoint" in metadata:
                more = client.get(metadata["userinfo_endpoint"], timeout=_PATIENCE_S).json()
                if more.get("sub") != found["sub"]:
                    raise ValueError("userinfo is of another person")
                found = {**more, **found}
        return found

    def _read_metadata(self) -> Mapping[str, Any]:
        with self._lock:
            if self._metadata is not None and time.monotonic() - self._metadata[1] < _METADATA_S:
                return self._metadata[0]
        url = f"{self._spec.issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            with OAuth2Session() as client:
                answer = client.get(url, withhold_token=True, timeout=_PATIENCE_S)
                answer.raise_for_status()
                found: dict[str, Any] = answer.json()
        except (RequestException, ValueError) as error:
            _log.warning("the identity provider does not answer: %s", error)
            raise SignInError("the identity provider does not answer: try again later") from None
        if found.get("issuer") != self._spec.issuer:
            _log.warning("the identity provider calls itself %s, not %s", found.get("issuer"), self._spec.issuer)
            raise SignInError("the identity provider calls itself otherwise; the operator has to mend `issuer`")
        with self._lock:
            self._metadata = found, time.monotonic()
        return found

    def _open_client(self, redirect_uri: str, metadata: Mapping[str, Any]) -> OAuth2Session:
        secret = None
        if self._spec.client_secret_file is not None:
            secret = Path(self._spec.client_secret_file).read_text(encoding="utf-8").strip()
        supported = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        method = "client_secret_basic" if "client_secret_basic" in supported else "client_secret_post"
        return OAuth2Session(
            self._spec.client_id,
            secret,
            token_endpoint_auth_method=method if secret else "none",
            scope=" ".join(self._spec.scopes),
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
        )


def _list_values(claims: Mapping[str, Any], claim: str) -> tuple[str, ...]:
    """Return the values of a claim; `realm_access.roles` is also the claim `roles` in the claim `realm_access`."""
    found: Any = claims.get(claim)
    if found is None:
        found = claims
        for part in claim.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return (found,)
    return tuple(str(each) for each in found) if isinstance(found, list | tuple) else ()


def _find_scope(roles: RolesSpec, values: tuple[str, ...]) -> Scope | None:
    """Return the largest scope that some values give; None if they give none."""
    for scope in reversed(SCOPES):
        wanted: list[str] = getattr(roles, scope)
        if "*" in wanted or any(value in wanted for value in values):
            return scope
    return None
