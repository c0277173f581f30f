"""Speaks to the OIDC issuer of the settings: discovery, keys, codes for ID tokens, and what ID tokens must be like."""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from ..errors import OidcUnavailable, Unauthenticated
from ..settings import Settings

TIMEOUT_S = 10.0
FRESH_S = 3600.0
LEEWAY_S = 60
LEAST_REFETCH_S = 10.0
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""Only signatures with the issuer's private key: neither ``none`` nor secrets shared with clients."""

Claims = Mapping[str, Any]


@dataclass(slots=True)
class _Kept:
    """Something fetched, and when."""

    value: Any = None
    at: float = float("-inf")


@dataclass(frozen=True, slots=True)
class Issuer:
    """One issuer, as seen by one client of it. Thread-safe; keeps what it fetches for an hour."""

    settings: Settings
    _metadata: _Kept = field(default_factory=_Kept)
    _keys: _Kept = field(default_factory=_Kept)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        """The issuer identifier, as ID tokens have it."""
        return self.settings.oidc_issuer

    def authorize_url(self, *, redirect_uri: str, state: str, nonce: str, challenge: str) -> str:
        """Where a person logs in; raises OidcUnavailable."""
        query = {
            "response_type": "code",
            "client_id": self.settings.oidc_client_id,
            "redirect_uri": redirect_uri,
            "scope": self.settings.oidc_scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        endpoint = self._endpoint("authorization_endpoint")
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(query)}"

    def claims(self, *, code: str, verifier: str, redirect_uri: str, nonce: str) -> Claims:
        """Who logged in: the claims of a valid ID token, and of the userinfo endpoint what it lacks.

        Raises Unauthenticated, OidcUnavailable.
        """
        tokens = self._exchange(code, verifier, redirect_uri)
        claims = self._valid(str(tokens.get("id_token", "")), nonce)
        wanted = {self.settings.oidc_name_claim, self.settings.oidc_groups_claim}
        if wanted <= claims.keys() or "userinfo_endpoint" not in self._discover():
            return claims
        more = self._userinfo(str(tokens.get("access_token", "")))
        return {**more, **claims} if more.get("sub") == claims["sub"] else claims

    def _exchange(self, code: str, verifier: str, redirect_uri: str) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        auth, more = self._client_authentication()
        reply = self._send("POST", self._endpoint("token_endpoint"), data={**form, **more}, auth=auth)
        if reply.status_code in {400, 401, 403}:
            raise Unauthenticated(f"the issuer refused the login ({_error_of(reply)}); log in again")
        return _json(reply)

    def _client_authentication(self) -> tuple[httpx.BasicAuth | None, dict[str, str]]:
        client_id, secret = self.settings.oidc_client_id, self.settings.oidc_client_secret.get_secret_value()
        methods = self._discover().get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if secret and "client_secret_basic" in methods:
            return httpx.BasicAuth(quote(client_id, safe=""), quote(secret, safe="")), {}
        return None, {"client_id": client_id, **({"client_secret": secret} if secret else {})}

    def _valid(self, id_token: str, nonce: str) -> Claims:
        try:
            claims: Claims = self._decode(id_token).claims
            jwt.JWTClaimsRegistry(
                leeway=LEEWAY_S,
                iss={"essential": True, "value": self.name},
                aud={"essential": True, "value": self.settings.oidc_client_id},
                sub={"essential": True},
                exp={"essential": True},
                iat={"essential": True},
            ).validate(dict(claims))
        except (JoseError, ValueError) as error:
            raise Unauthenticated(f"the issuer's ID token is not valid ({error}); log in again") from None
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise Unauthenticated("the issuer's ID token is of another login; log in again")
        if claims.get("azp", self.settings.oidc_client_id) != self.settings.oidc_client_id:
            raise Unauthenticated("the issuer's ID token is for another client; check oidc_client_id")
        return claims

    def _decode(self, id_token: str) -> jwt.Token:
        """The token, if a key of the issuer signed it; keys are fetched again when the known ones did not."""
        try:
            return jwt.decode(id_token, self._key_set(FRESH_S), algorithms=list(ALGORITHMS))
        except (JoseError, ValueError):
            return jwt.decode(id_token, self._key_set(LEAST_REFETCH_S), algorithms=list(ALGORITHMS))

    def _key_set(self, fresh_s: float) -> KeySet:
        keys: KeySet = self._kept(self._keys, self._endpoint("jwks_uri"), fresh_s, KeySet.import_key_set)
        return keys

    def _userinfo(self, access_token: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {access_token}"}
        return _json(self._send("GET", self._endpoint("userinfo_endpoint"), headers=headers))

    def _endpoint(self, name: str) -> str:
        endpoint = self._discover().get(name)
        if not isinstance(endpoint, str):
            raise OidcUnavailable(f"the OIDC issuer {self.name} names no {name}")
        return endpoint

    def _discover(self) -> dict[str, Any]:
        url = f"{self.name.rstrip('/')}/.well-known/openid-configuration"
        metadata: dict[str, Any] = self._kept(self._metadata, url, FRESH_S, dict)
        if metadata.get("issuer") != self.name:
            raise OidcUnavailable(
                f"the OIDC issuer calls itself {str(metadata.get('issuer'))[:200]!r}; set oidc_issuer to that"
            )
        return metadata

    def _kept(self, kept: _Kept, url: str, fresh_s: float, make: Any) -> Any:
        with self._lock:
            if time.monotonic() - kept.at > fresh_s:
                try:
                    kept.value = make(_json(self._send("GET", url)))
                except (JoseError, ValueError, KeyError) as error:
                    raise OidcUnavailable(f"{url} cannot be read: {error}") from None
                kept.at = time.monotonic()
            return kept.value

    def _send(self, method: str, url: str, **options: Any) -> httpx.Response:
        try:
            with httpx.Client(timeout=TIMEOUT_S, follow_redirects=False) as client:
                return client.request(method, url, **options)
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise OidcUnavailable(f"the OIDC issuer {self.name} cannot be reached ({reason}); try again") from None


def _json(reply: httpx.Response) -> dict[str, Any]:
    try:
        body = reply.json() if reply.is_success else None
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise OidcUnavailable(f"the OIDC issuer answered {reply.status_code} without JSON to {reply.url.path}")
    return body


def _error_of(reply: httpx.Response) -> str:
    """The standard's error code, never the text around it (it may repeat what was sent)."""
    try:
        return str(reply.json()["error"])[:40]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {reply.status_code}"
