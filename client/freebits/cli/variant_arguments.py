"""The arguments of `freebits variant`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, TypeAlias

from freebits.cli import variants
from freebits.cli.argument_types import assignment

if TYPE_CHECKING:
    _Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

METHODS = ("bits-back", "gauge-polar", "gauge-triangular", "lora-gauge")


def add_variant_commands(commands: _Commands, *parents: argparse.ArgumentParser) -> None:
    """`freebits variant create`, `freebits variant ls`."""
    text = "equivalent forms of a revision, made by the hub on branches of their own"
    group = commands.add_parser("variant", help=text, description=text)
    actions = group.add_subparsers(title="actions", metavar="ACTION", required=True)

    text = "have a variant made; asking again for one that is there changes nothing"
    create = actions.add_parser("create", help="have a variant made", description=text, parents=parents)
    create.add_argument("repo", metavar="NAMESPACE/NAME")
    create.add_argument("--method", required=True, metavar="METHOD", help=f"one of {', '.join(METHODS)}")
    create.add_argument("--revision", help="branch, tag or commit to make it of (default: the repo's default branch)")
    create.add_argument("--to", metavar="BRANCH", help="branch to put it on, made if absent (default: the method)")
    text = "parameter of the method, its value as JSON: prior, token_ids, max_error (docs/symmetry.md); repeatable"
    create.add_argument("--set", type=assignment, action="append", default=[], metavar="NAME=VALUE", help=text)
    create.add_argument("--wait", action="store_true", help="return when it is made; fails when it cannot be")
    create.set_defaults(run=variants.create)

    text = "list the variants of a repo, newest first; a branch in parentheses is somewhere else by now"
    ls = actions.add_parser("ls", help="list the variants of a repo", description=text, parents=parents)
    ls.add_argument("repo", metavar="NAMESPACE/NAME")
    ls.set_defaults(run=variants.ls)
