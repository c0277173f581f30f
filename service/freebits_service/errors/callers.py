"""Who is asking, and how often."""

from __future__ import annotations

from .base import ServiceError


class Unauthenticated(ServiceError):
    """No token, or one nobody issued."""

    code = "UNAUTHENTICATED"


class Forbidden(ServiceError):
    """The caller is known and may not do this."""

    code = "FORBIDDEN"


class RateLimited(ServiceError):
    """Too many requests; `detail["retry_after_s"]` says when the next one is answered."""

    code = "RATE_LIMITED"

    def __init__(self, policy: str, limit: int, retry_after_s: int) -> None:
        super().__init__(
            f"too many requests (limit {policy!r}: {limit} per minute); try again in {retry_after_s} s",
            policy=policy,
            limit=limit,
            retry_after_s=retry_after_s,
        )


class MirrorReadOnly(Forbidden):
    """The repo mirrors one of the upstream; nobody writes to it here."""

    code = "MIRROR_READ_ONLY"

    def __init__(self, repo: str) -> None:
        super().__init__(
            f"{repo!r} mirrors the repo of this name on the upstream and takes no changes; push under another name",
            repo=repo,
        )


class LoginRefused(ServiceError):
    """The issuer knows the person; the hub does not let them in."""

    code = "LOGIN_REFUSED"


class OidcNotConfigured(ServiceError):
    """The hub knows no OIDC issuer."""

    code = "OIDC_NOT_CONFIGURED"


class OidcUnavailable(ServiceError):
    """The OIDC issuer cannot be reached, or does not answer as the standard says."""

    code = "OIDC_UNAVAILABLE"
