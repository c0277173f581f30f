"""HTTP for logging in at the OIDC issuer."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from ..errors import OidcNotConfigured
from ..http_context import HubDep
from ..routers import API_PREFIX, rest_router
from ..schemas import FinishedLogin, IssuedToken, Login, NewLogin
from . import operations
from .issuer import Issuer

router = rest_router("oidc", f"{API_PREFIX}/oidc")


def issuer_of(request: Request) -> Issuer:
    """The issuer of the settings; raises OidcNotConfigured."""
    issuer = request.app.state.oidc_issuer
    if issuer is None:
        raise OidcNotConfigured("this hub has no OIDC issuer; log in with a token (`freebits login`)")
    assert isinstance(issuer, Issuer)
    return issuer


IssuerDep = Annotated[Issuer, Depends(issuer_of)]


@router.post("/logins", status_code=201)
def begin_login(body: NewLogin, hub: HubDep, issuer: IssuerDep) -> Login:
    """Begin a login: open the answered URL in a browser, and wait at the redirect URI for code and state."""
    return operations.begin(hub, issuer, body)


@router.post("/tokens", status_code=201)
def finish_login(body: FinishedLogin, hub: HubDep, issuer: IssuerDep) -> IssuedToken:
    """Finish a login: a token that expires, for the user linked to whoever logged in."""
    return operations.finish(hub, issuer, body)
