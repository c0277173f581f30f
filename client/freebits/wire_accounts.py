"""The JSON of users, organizations, tokens, quotas, the audit trail and OIDC logins: one function per request.

What the hub answers is shown as it comes, so there are no dataclasses for it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from freebits.wire import API, Request, with_query


def list_users(after: str | None) -> Request:
    """One page of users by name."""
    return Request("GET", with_query(f"{API}/users", after=after))


def get_user(name: str) -> Request:
    """One user."""
    return Request("GET", _user(name))


def create_user(name: str, role: str) -> Request:
    """Create a user; the answer has the first token."""
    return Request("POST", f"{API}/users", {"name": name, "role": role})


def change_user(name: str, **changes: Any) -> Request:
    """Change `role` ("admin" or "user") or `active`."""
    return Request("PATCH", _user(name), changes)


def delete_user(name: str) -> Request:
    """Remove a user without repos."""
    return Request("DELETE", _user(name))


def list_tokens(user: str, after: str | None) -> Request:
    """One page of a user's tokens, without the secrets."""
    return Request("GET", with_query(f"{_user(user)}/tokens", after=after))


def create_token(user: str, label: str, scope: str, limited_to: str, expires_in_s: float | None) -> Request:
    """Make a token; the answer has it in clear for the only time."""
    body = {"label": label, "scope": scope, "limited_to": limited_to, "expires_in_s": expires_in_s}
    return Request("POST", f"{_user(user)}/tokens", body)


def delete_token(user: str, token_id: int) -> Request:
    """Revoke a token."""
    return Request("DELETE", f"{_user(user)}/tokens/{token_id}")


def list_orgs(after: str | None) -> Request:
    """One page of the organizations that one is a member of; all for admins."""
    return Request("GET", with_query(f"{API}/orgs", after=after))


def create_org(name: str) -> Request:
    """Create an organization."""
    return Request("POST", f"{API}/orgs", {"name": name})


def delete_org(name: str) -> Request:
    """Remove an organization without repos."""
    return Request("DELETE", _org(name))


def list_members(org: str, after: str | None) -> Request:
    """One page of an organization's members by name."""
    return Request("GET", with_query(f"{_org(org)}/members", after=after))


def put_member(org: str, user: str, role: str) -> Request:
    """Add a member, or give one another role ("read", "write" or "admin")."""
    return Request("POST", f"{_org(org)}/members", {"user": user, "role": role})


def delete_member(org: str, user: str) -> Request:
    """Remove a member."""
    return Request("DELETE", f"{_org(org)}/members/{quote(user, safe='')}")


def get_usage(namespace: str) -> Request:
    """What a namespace holds and may hold."""
    return Request("GET", f"{_namespace(namespace)}/usage")


def change_quota(namespace: str, **limits: int | str) -> Request:
    """Set `logical_nbytes`, `stored_nbytes`: bytes, "default" or "unlimited"."""
    return Request("PATCH", f"{_namespace(namespace)}/quota", limits)


def recount(namespace: str | None) -> Request:
    """Count anew what a namespace holds, or all of them."""
    return Request("POST", f"{API}/usage/recount", {"namespace": namespace})


def list_audit(
    namespace: str | None, user: str | None, action: str | None, *, after: int | None, limit: int
) -> Request:
    """One page of changes, newest first."""
    filters = {"namespace": namespace, "user": user, "action": action}
    return Request("GET", with_query(f"{API}/audit", **filters, after=_text(after), limit=str(limit)))


def begin_login(redirect_uri: str, code_challenge: str) -> Request:
    """Begin an OIDC login; the answer says where to send the browser."""
    return Request("POST", f"{API}/oidc/logins", {"redirect_uri": redirect_uri, "code_challenge": code_challenge})


def finish_login(state: str, code: str, code_verifier: str, *, label: str, scope: str) -> Request:
    """Finish an OIDC login; the answer has a token."""
    body = {"state": state, "code": code, "code_verifier": code_verifier, "label": label, "scope": scope}
    return Request("POST", f"{API}/oidc/tokens", body)


def _user(name: str) -> str:
    return f"{API}/users/{quote(name, safe='')}"


def _org(name: str) -> str:
    return f"{API}/orgs/{quote(name, safe='')}"


def _namespace(name: str) -> str:
    return f"{API}/namespaces/{quote(name, safe='')}"


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)
