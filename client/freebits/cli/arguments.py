"""All commands and their arguments.

Each command is a function of the parsed options that returns an exit code.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, TypeAlias

from freebits.cli import accounts, files, jobs, repos, transfers
from freebits.cli.admin_arguments import add_admin_commands
from freebits.cli.argument_types import count, count_or_zero
from freebits.cli.slicing_arguments import add_slicing_commands
from freebits.cli.variant_arguments import add_variant_commands

if TYPE_CHECKING:
    _Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]


def build_parser() -> argparse.ArgumentParser:
    """The parser of the `freebits` command."""
    parser = argparse.ArgumentParser(
        prog="freebits",
        description="A model hub that stores checkpoints compressed and gives them back bit for bit.",
        epilog="`freebits serve` starts a hub (needs freebits[service]). "
        "Exit codes: 0 ok, 1 other, 2 usage, 3 not found, 4 not allowed, 5 network, 6 integrity, "
        "7 no space or quota, 130 interrupted.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_file_commands(commands, _shared(), _threads())
    add_slicing_commands(commands, _shared())
    _add_transfer_commands(commands, _shared(), _threads(), _hub())
    _add_repo_commands(commands, _shared(), _hub())
    _add_undelete(commands, _shared(), _hub())
    _add_account_commands(commands, _shared(), _hub())
    _add_job_command(commands, _shared(), _hub())
    add_variant_commands(commands, _shared(), _hub())
    add_admin_commands(commands, _shared(), _hub())
    return parser


def _add_file_commands(commands: _Commands, *parents: argparse.ArgumentParser) -> None:
    for name, text, run in (
        ("encode", "encode files; FILE becomes FILE.fb", files.encode),
        ("decode", "decode files; FILE.fb becomes FILE", files.decode),
    ):
        command = commands.add_parser(name, help=text, description=text, parents=parents)
        command.add_argument("files", nargs="+", metavar="FILE", help='"-" reads stdin')
        command.add_argument("-o", "--output", metavar="OUT", help='where to write; "-" is stdout')
        command.add_argument("-f", "--force", action="store_true", help="replace existing files")
        command.set_defaults(run=run)
    for name, text, run in (
        ("inspect", "what a container holds, tensor by tensor", files.inspect),
        ("verify", "decode containers to nowhere and compare their SHA-256", files.verify),
    ):
        command = commands.add_parser(name, help=text, description=text, parents=parents)
        command.add_argument("files", nargs="+", metavar="FILE")
        command.set_defaults(run=run)


def _add_transfer_commands(commands: _Commands, *parents: argparse.ArgumentParser) -> None:
    text = "commit a file or folder to a repo; only what changed is sent, a killed push resumes"
    push = commands.add_parser("push", help="commit a file or folder to a repo", description=text, parents=parents)
    push.add_argument("path", metavar="PATH")
    push.add_argument("repo", metavar="NAMESPACE/NAME")
    push.add_argument("--revision", default="main", help="branch to commit to, made if absent (default: main)")
    push.add_argument("-m", "--message", help="what the commit says")
    push.add_argument("--public", action="store_true", help="if the repo has to be created: let everybody read it")
    encoding = push.add_mutually_exclusive_group()
    encoding.add_argument("--encode", action="store_const", const=True, help="always encode before sending")
    encoding.add_argument("--no-encode", dest="encode", action="store_const", const=False, help="always send raw")
    push.set_defaults(run=transfers.push)

    text = "bring the files of a revision, into a folder or the Hugging Face cache; a killed pull resumes"
    pull = commands.add_parser("pull", help=text, description=text, parents=parents)
    pull.add_argument("repo", metavar="NAMESPACE/NAME")
    pull.add_argument("-o", "--output", metavar="DIR", help="default: the Hugging Face cache")
    pull.add_argument("--revision", default="main", help="branch, tag or commit (default: main)")
    pull.set_defaults(run=transfers.pull)
    for command in (push, pull):
        command.add_argument("--include", action="append", default=[], metavar="GLOB", help="only these files")
        command.add_argument("--exclude", action="append", default=[], metavar="GLOB", help="all but these files")


def _add_repo_commands(commands: _Commands, *parents: argparse.ArgumentParser) -> None:
    text = "list repos, or the files of one"
    ls = commands.add_parser("ls", help=text, description=text, parents=parents)
    ls.add_argument("repo", nargs="?", metavar="NAMESPACE[/NAME]")
    ls.add_argument("--revision", default="main", help="branch, tag or commit (default: main)")
    ls.add_argument("--refs", action="store_true", help="list branches and tags instead of files")
    ls.add_argument(
        "--deleted", action="store_true", help="what was deleted lately: repos, or a repo's branches and tags"
    )
    ls.set_defaults(run=repos.ls)

    text = "remove files from a branch (a new commit), or with a flag a branch, a tag or the whole repo"
    rm = commands.add_parser("rm", help="remove files, a branch, a tag or a repo", description=text, parents=parents)
    rm.add_argument("repo", metavar="NAMESPACE/NAME")
    rm.add_argument("paths", nargs="*", metavar="PATH", help='a path ending in "/" removes the folder')
    rm.add_argument("--revision", default="main", help="branch to remove files from (default: main)")
    rm.add_argument("-m", "--message", help="what the commit says")
    what = rm.add_mutually_exclusive_group()
    what.add_argument("--branch", metavar="NAME", help="remove this branch")
    what.add_argument("--tag", metavar="NAME", help="remove this tag")
    what.add_argument("--repo", dest="whole_repo", action="store_true", help="remove the repo with all revisions")
    rm.add_argument("-y", "--yes", action="store_true", help="do not ask before removing a branch, tag or repo")
    rm.set_defaults(run=repos.rm)


def _add_undelete(commands: _Commands, *parents: argparse.ArgumentParser) -> None:
    text = "bring back a deleted repo, branch or tag, within the hub's grace period"
    undelete = commands.add_parser("undelete", help=text, description=text, parents=parents)
    undelete.add_argument("repo", metavar="NAMESPACE/NAME")
    what = undelete.add_mutually_exclusive_group()
    what.add_argument("--as", dest="new_name", metavar="NAME", help="bring the repo back under this name")
    what.add_argument("--branch", metavar="NAME", help="bring back this branch of the repo")
    what.add_argument("--tag", metavar="NAME", help="bring back this tag of the repo")
    undelete.set_defaults(run=repos.undelete)


def _add_account_commands(commands: _Commands, *parents: argparse.ArgumentParser) -> None:
    text = "check a token (prompt or stdin), or log in with a browser, and keep the token for this hub"
    login = commands.add_parser("login", help=text, description=text, parents=parents)
    login.add_argument("--oidc", "--sso", action="store_true", help="log in with a browser where the hub says")
    login.add_argument(
        "--scope", choices=("read", "write", "admin"), default="write", help="of --oidc (default: write)"
    )
    login.add_argument("--no-browser", action="store_true", help="with --oidc: only print where to log in")
    login.set_defaults(run=accounts.login)
    for name, text, run in (
        ("logout", "forget the token of this hub", accounts.logout),
        ("whoami", "who the token belongs to", accounts.whoami),
    ):
        commands.add_parser(name, help=text, description=text, parents=parents).set_defaults(run=run)


def _add_job_command(commands: _Commands, *parents: argparse.ArgumentParser) -> None:
    text = "what the hub works on in the background: of your repos, or all for an admin"
    command = commands.add_parser("jobs", help=text, description=text, parents=parents)
    command.add_argument("action", nargs="?", default="list", choices=("list", "show", "retry", "cancel"))
    command.add_argument("id", nargs="?", type=count, metavar="ID")
    command.add_argument("--state", choices=("queued", "running", "done", "parked", "cancelled"), help="only these")
    command.add_argument("--limit", type=count, default=100, help="most to list, newest first (default: 100)")
    command.add_argument("--watch", action="store_true", help="show again until nothing is queued or running")
    command.set_defaults(run=jobs.jobs)


def _shared() -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument("--json", action="store_true", help="results as JSON on stdout")
    parent.add_argument("-q", "--quiet", action="store_true", help="errors only")
    parent.add_argument("--progress", action="store_true", help="progress bar even if stderr is no terminal")
    return parent


def _threads() -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument("--threads", type=count, default=os.cpu_count() or 1, help="default: all cores")
    return parent


def _hub() -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument("--endpoint", metavar="URL", help="the hub (or FREEBITS_ENDPOINT)")
    parent.add_argument(
        "--token", help="prefer FREEBITS_TOKEN or `freebits login`: other users of this machine see arguments"
    )
    parent.add_argument("--retries", type=count_or_zero, default=5, help="tries after a failed one (default: 5)")
    return parent


class _Version(argparse.Action):
    """Reads the version only when asked: importlib.metadata is slow."""

    def __call__(self, parser: argparse.ArgumentParser, *_ignored: object) -> None:
        import freebits  # noqa: PLC0415

        print(f"freebits {freebits.__version__}")
        parser.exit()
