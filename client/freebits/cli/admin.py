"""admin user|token|org|quota|audit: what the REST API says about accounts, as tables or JSON."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Any

from freebits import wire_accounts as accounts
from freebits.cli.terminal import show, size, table
from freebits.cli.transfers import connect
from freebits.errors import ProtocolError, UsageError
from freebits.wire import Request

DAY_S = 86400
Facts = dict[str, Any]


def users(options: Namespace) -> int:
    """`freebits admin user list`"""
    found = _all(options, accounts.list_users)
    rows = [(user["name"], user["role"], "" if user["active"] else "deactivated") for user in found]
    return _show_table(options, found, ("user", "role", ""), rows)


def show_user(options: Namespace) -> int:
    """`freebits admin user show NAME`"""
    return _show_facts(options, _ask(options, accounts.get_user(options.name)))


def create_user(options: Namespace) -> int:
    """`freebits admin user create NAME`"""
    issued = _ask(options, accounts.create_user(options.name, "admin" if options.admin else "user"))
    show(options, issued, f"created {options.name}; the first token, shown only now: {issued['token']}")
    return 0


def set_user(options: Namespace) -> int:
    """`freebits admin user set NAME`"""
    changes: Facts = {} if options.role is None else {"role": options.role}
    if options.active is not None:
        changes["active"] = options.active
    if not changes:
        raise UsageError("name what to change: --role, --activate or --deactivate")
    return _show_facts(options, _ask(options, accounts.change_user(options.name, **changes)))


def remove_user(options: Namespace) -> int:
    """`freebits admin user remove NAME`"""
    return _removed(options, accounts.delete_user(options.name), f"user {options.name}")


def tokens(options: Namespace) -> int:
    """`freebits admin token list USER`"""
    found = _all(options, lambda after: accounts.list_tokens(options.user, after))
    rows = [
        (
            str(each["id"]),
            each["label"],
            each["scope"],
            each["limited_to"] or "everything",
            each["expires_at"] or "never",
            each["last_used_at"] or "never",
        )
        for each in found
    ]
    return _show_table(options, found, ("id", "label", "scope", "for", "expires", "last used"), rows)


def create_token(options: Namespace) -> int:
    """`freebits admin token create USER`"""
    expires_in_s = None if options.days is None else options.days * DAY_S
    request = accounts.create_token(options.user, options.label, options.scope, options.limit or "", expires_in_s)
    issued = _ask(options, request)
    show(options, issued, f"token {issued['id']} of {issued['user']}, shown only now: {issued['token']}")
    return 0


def remove_token(options: Namespace) -> int:
    """`freebits admin token remove USER ID`"""
    request = accounts.delete_token(options.user, options.id)
    return _removed(options, request, f"token {options.id} of {options.user}")


def orgs(options: Namespace) -> int:
    """`freebits admin org list`"""
    found = _all(options, accounts.list_orgs)
    return _show_table(options, found, ("organization", "created"), [(o["name"], o["created_at"]) for o in found])


def create_org(options: Namespace) -> int:
    """`freebits admin org create NAME`"""
    created = _ask(options, accounts.create_org(options.name))
    show(options, created, f"created {options.name}; add people with `freebits admin org add {options.name} USER`")
    return 0


def remove_org(options: Namespace) -> int:
    """`freebits admin org remove NAME`"""
    return _removed(options, accounts.delete_org(options.name), f"organization {options.name}")


def members(options: Namespace) -> int:
    """`freebits admin org members NAME`"""
    found = _all(options, lambda after: accounts.list_members(options.name, after))
    return _show_table(options, found, ("user", "role"), [(each["user"], each["role"]) for each in found])


def add_member(options: Namespace) -> int:
    """`freebits admin org add NAME USER`"""
    member = _ask(options, accounts.put_member(options.name, options.user, options.role))
    show(options, member, f"{options.user} has the role {options.role!r} in {options.name}")
    return 0


def remove_member(options: Namespace) -> int:
    """`freebits admin org drop NAME USER`"""
    request = accounts.delete_member(options.name, options.user)
    return _removed(options, request, f"{options.user} from {options.name}")


def show_quota(options: Namespace) -> int:
    """`freebits admin quota show NAMESPACE`"""
    return _show_usage(options, _ask(options, accounts.get_usage(options.namespace)))


def set_quota(options: Namespace) -> int:
    """`freebits admin quota set NAMESPACE`"""
    limits = {"logical_nbytes": options.logical, "stored_nbytes": options.stored}
    given = {key: value for key, value in limits.items() if value is not None}
    if not given:
        raise UsageError("name a limit: --logical or --stored, in bytes or as 500GB, 2TB, default, unlimited")
    return _show_usage(options, _ask(options, accounts.change_quota(options.namespace, **given)))


def recount(options: Namespace) -> int:
    """`freebits admin quota recount [NAMESPACE]`"""
    facts = _ask(options, accounts.recount(options.namespace))
    corrected = ", ".join(facts["corrected"]) or "none"
    show(options, facts, f"counted {facts['counted']} namespaces; corrected: {corrected}")
    return 0


def audit(options: Namespace) -> int:
    """`freebits admin audit`"""
    found: list[Facts] = []
    with connect(options) as hub:
        after = None
        while len(found) < options.limit:
            size_of_page = min(options.limit - len(found), 1000)
            request = accounts.list_audit(
                options.namespace, options.user, options.action, after=after, limit=size_of_page
            )
            items, after = _page(hub.ask(request))
            found += items
            if after is None:
                break
    rows = [
        (line["at"][:19], line["user"], line["action"], line["repo"] or line["namespace"], line["address"])
        for line in found
    ]
    return _show_table(options, found, ("when", "who", "what", "where", "from"), rows)


def _ask(options: Namespace, request: Request) -> Facts:
    with connect(options) as hub:
        reply = hub.ask(request)
    if not isinstance(reply, dict):
        raise ProtocolError("the answer is not an object; check that the endpoint is a freebits hub")
    return reply


def _removed(options: Namespace, request: Request, what: str) -> int:
    with connect(options) as hub:
        hub.ask(request)
    show(options, {"removed": what}, f"removed {what}")
    return 0


def _all(options: Namespace, request: Callable[[str | None], Request]) -> list[Facts]:
    """The items of all pages."""
    found: list[Facts] = []
    with connect(options) as hub:
        after: Any = None
        while True:
            items, after = _page(hub.ask(request(None if after is None else str(after))))
            found += items
            if after is None:
                return found


def _page(reply: Any) -> tuple[list[Facts], Any]:
    if not isinstance(reply, dict) or not isinstance(reply.get("items"), list):
        raise ProtocolError("the hub's listing lacks items; check that the endpoint is a freebits hub")
    return reply["items"], reply.get("next")


def _show_table(options: Namespace, facts: list[Facts], head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> int:
    show(options, facts, table([head, *rows]) if rows else "")
    return 0


def _show_facts(options: Namespace, facts: Facts) -> int:
    show(options, facts, table([(key, str(value)) for key, value in facts.items()]))
    return 0


def _show_usage(options: Namespace, facts: Facts) -> int:
    rows = [
        (kind, size(facts[f"{kind}_nbytes"]), "of", _limit(facts[f"{kind}_limit_nbytes"]))
        for kind in ("logical", "stored")
    ]
    show(options, facts, table(rows, right=frozenset({1})))
    return 0


def _limit(nbytes: int | None) -> str:
    return "unlimited" if nbytes is None else size(nbytes)
