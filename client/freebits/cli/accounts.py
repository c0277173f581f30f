"""login, logout, whoami."""

from __future__ import annotations

import getpass
import os
import sys
from argparse import Namespace

from freebits.cli.terminal import show
from freebits.cli.transfers import connect
from freebits.credentials import Credentials
from freebits.errors import UsageError
from freebits.settings import find_endpoint


def login(options: Namespace) -> int:
    """`freebits login`: the token comes from --token, a prompt, one line of stdin, or with --oidc a browser."""
    credentials = Credentials()
    options.endpoint = find_endpoint(options.endpoint, credentials)
    if options.oidc:
        options.token = _log_in_with_browser(options)
    options.token = options.token or _read_token(options.endpoint)
    with connect(options) as hub:
        identity = hub.whoami()
    credentials.store(options.endpoint, options.token)
    facts = {"endpoint": options.endpoint, "name": identity.name, "role": identity.role}
    show(options, facts, f"logged in to {options.endpoint} as {identity.name}; stored in {credentials.path}")
    if os.environ.get("FREEBITS_TOKEN") not in {None, "", options.token}:
        print("freebits: FREEBITS_TOKEN is set and goes before the stored login", file=sys.stderr)
    return 0


def logout(options: Namespace) -> int:
    """`freebits logout`"""
    credentials = Credentials()
    endpoint = find_endpoint(options.endpoint, credentials)
    had_one = credentials.drop(endpoint)
    text = f"forgot the token of {endpoint}" if had_one else f"no token was stored for {endpoint}"
    show(options, {"endpoint": endpoint, "logged_out": had_one}, text)
    return 0


def whoami(options: Namespace) -> int:
    """`freebits whoami`"""
    with connect(options) as hub:
        identity = hub.whoami()
        facts = {"endpoint": hub.endpoint, "name": identity.name, "role": identity.role}
    show(options, facts, f"{identity.name} ({identity.role}) at {facts['endpoint']}")
    return 0


def _log_in_with_browser(options: Namespace) -> str:
    from freebits.cli.oidc_login import token_by_oidc  # noqa: PLC0415  http.server and webbrowser, for this alone

    return token_by_oidc(options)


def _read_token(endpoint: str) -> str:
    token = getpass.getpass(f"Token for {endpoint}: ") if sys.stdin.isatty() else sys.stdin.readline()
    if not token.strip():
        raise UsageError("no token given; paste it at the prompt, or pipe it in")
    return token.strip()
