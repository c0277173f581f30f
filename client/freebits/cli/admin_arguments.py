"""The arguments of ``freebits admin``."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from freebits.cli import admin

if TYPE_CHECKING:
    _Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40, "PIB": 2**50}
_SCOPES = ("read", "write", "admin")


def add_admin_commands(commands: _Commands, *parents: argparse.ArgumentParser) -> None:
    """`freebits admin` with its groups of commands."""
    text = "users, tokens, organizations, quotas and the audit trail of a hub"
    groups = commands.add_parser("admin", help=text, description=text).add_subparsers(metavar="WHAT", required=True)
    _add_users(_group(groups, "user", "who may log in"), parents)
    _add_tokens(_group(groups, "token", "what users log in with; your own, or anybody's as an admin"), parents)
    _add_orgs(_group(groups, "org", "namespaces that several users share"), parents)
    _add_quotas(_group(groups, "quota", "what namespaces hold and may hold"), parents)
    _add_audit(groups, parents)


def _group(groups: _Commands, name: str, text: str) -> _Commands:
    return groups.add_parser(name, help=text, description=text).add_subparsers(metavar="COMMAND", required=True)


def _add(
    commands: _Commands,
    parents: tuple[argparse.ArgumentParser, ...],
    name: str,
    text: str,
    run: Callable[[argparse.Namespace], int],
    *positional: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text, parents=parents)
    for each in positional:
        command.add_argument(each, metavar=each.upper())
    command.set_defaults(run=run)
    return command


def _add_users(commands: _Commands, parents: tuple[argparse.ArgumentParser, ...]) -> None:
    _add(commands, parents, "list", "all users", admin.users)
    _add(commands, parents, "show", "one user", admin.show_user, "name")
    create = _add(commands, parents, "create", "make a user and a first token", admin.create_user, "name")
    create.add_argument("--admin", action="store_true", help="an admin of the hub")
    change = _add(commands, parents, "set", "change a user", admin.set_user, "name")
    change.add_argument("--role", choices=("admin", "user"), help="role on the hub")
    active = change.add_mutually_exclusive_group()
    active.add_argument("--activate", dest="active", action="store_true", default=None, help="may log in again")
    active.add_argument("--deactivate", dest="active", action="store_false", help="end all tokens at once")
    _add(commands, parents, "remove", "remove a user without repos", admin.remove_user, "name")


def _add_tokens(commands: _Commands, parents: tuple[argparse.ArgumentParser, ...]) -> None:
    _add(commands, parents, "list", "a user's tokens, never the secrets", admin.tokens, "user")
    create = _add(commands, parents, "create", "make a token, shown only now", admin.create_token, "user")
    create.add_argument("--label", default="", help="what it is for")
    create.add_argument("--scope", choices=_SCOPES, default="write", help="default: write")
    create.add_argument("--limit", metavar="NAMESPACE[/NAME]", help="only for this namespace or repo")
    create.add_argument("--days", type=float, help="expires after (default: never)")
    remove = _add(commands, parents, "remove", "end a token", admin.remove_token, "user")
    remove.add_argument("id", metavar="ID", type=int)


def _add_orgs(commands: _Commands, parents: tuple[argparse.ArgumentParser, ...]) -> None:
    _add(commands, parents, "list", "your organizations; all for admins", admin.orgs)
    _add(commands, parents, "create", "make an organization", admin.create_org, "name")
    _add(commands, parents, "remove", "remove an organization without repos", admin.remove_org, "name")
    _add(commands, parents, "members", "who is in it", admin.members, "name")
    add = _add(commands, parents, "add", "add a user, or change a role", admin.add_member, "name", "user")
    add.add_argument("--role", choices=_SCOPES, default="write", help="default: write")
    _add(commands, parents, "drop", "remove a user from it", admin.remove_member, "name", "user")


def _add_quotas(commands: _Commands, parents: tuple[argparse.ArgumentParser, ...]) -> None:
    _add(commands, parents, "show", "what a namespace holds and may hold", admin.show_quota, "namespace")
    change = _add(commands, parents, "set", "say how much it may hold", admin.set_quota, "namespace")
    for kind, text in (("logical", "bytes of the original files"), ("stored", "bytes as they are stored")):
        change.add_argument(f"--{kind}", type=limit, metavar="SIZE", help=f"{text}: 500GB, 2TiB, default, unlimited")
    recount = _add(commands, parents, "recount", "count anew what namespaces hold", admin.recount)
    recount.add_argument("namespace", metavar="NAMESPACE", nargs="?", help="default: all")


def _add_audit(groups: _Commands, parents: tuple[argparse.ArgumentParser, ...]) -> None:
    audit = _add(groups, parents, "audit", "who changed what, newest first", admin.audit)
    audit.add_argument("--namespace", help="changes there; all others need an admin of the hub")
    audit.add_argument("--user", help="by this user")
    audit.add_argument("--action", help="of this kind, for instance repo.delete")
    audit.add_argument("--limit", type=int, default=100, help="how many lines (default: 100)")


def limit(text: str) -> int | str:
    """A limit in bytes, or one of the two words.

    >>> limit("1.5GB"), limit("2TiB"), limit("default")
    (1500000000, 2199023255552, 'default')
    """
    if text in {"default", "unlimited"}:
        return text
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text)
    if not found or found[2].upper() not in _UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 500GB, 2TiB, default or unlimited")
    unit = _UNITS[found[2].upper()]
    return int(float(found[1]) * unit) if "." in found[1] else int(found[1]) * unit
