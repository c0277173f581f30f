"""Licences, withdrawn releases and known vulnerabilities of everything a hub installs.

    python tests/dependencies/audit.py

Fails for a licence that is not on the list below, for a release that its authors withdrew, and for a known
vulnerability. What cannot be reached (the index, the advisory service) is named and does not fail: a machine without
the internet can still build.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import httpx
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

INDEX = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
EXTRAS = ("service", "otel")
# Permissive, or copyleft of single files and libraries; nothing that reaches into the hub's own code or forbids a use.
ALLOWED = re.compile(
    r"MIT|MIT-0|MIT License|Apache-2\.0|Apache Software License|Apache License 2\.0|BSD|BSD License|BSD-[23]-Clause"
    r"|3-Clause BSD License|0BSD|ISC|ISC License \(ISCL\)|PSF-2\.0|Python Software Foundation License|Zlib|CC0-1\.0"
    r"|BSL-1\.0|Unlicense|Mozilla Public License 2\.0 \(MPL 2\.0\)|MPL-2\.0"
    r"|LGPL-3\.0-only|LGPL-3\.0-or-later|CNRI-Python"
)


def installed_closure(name: str, extras: Iterable[str]) -> dict[str, str]:
    """Name and version of a distribution's dependencies, and theirs, as far as they are installed."""
    found: dict[str, str] = {}
    pending = [(name, frozenset(extras))]
    seen = set(pending)
    while pending:
        current, wanted = pending.pop()
        try:
            package = distribution(current)
        except PackageNotFoundError:
            continue  # for another platform or Python
        found[canonicalize_name(current)] = package.version
        for line in package.requires or []:
            requirement = Requirement(line)
            environments = [{"extra": extra} for extra in wanted or {""}]
            if requirement.marker is not None and not any(map(requirement.marker.evaluate, environments)):
                continue
            following = (requirement.name, frozenset(requirement.extras))
            if following not in seen:
                seen.add(following)
                pending.append(following)
    del found[canonicalize_name(name)]
    return found


def is_allowed(licence: str) -> bool:
    """Whether one choice of ``A OR B`` has allowed parts (``A AND B``, ``A; B``) only."""
    return any(
        all(ALLOWED.fullmatch(part.strip()) for part in re.split(r" AND |; ", choice))
        for choice in licence.removeprefix("(").split(" OR ")
    )


def refused_licences(packages: Iterable[str]) -> list[str]:
    """Packages whose licence is not on the list."""
    command = [sys.executable, "-m", "piplicenses", "--from=mixed", "--format=json", "--packages", *packages]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return [
        f"{package['Name']} {package['Version']}: licence {package['License']!r} is not on the list"
        for package in listed
        if not is_allowed(package["License"])
    ]


def withdrawn(packages: dict[str, str]) -> list[str]:
    """Releases all of whose files the index marks as yanked (PEP 592); raises httpx.HTTPError."""
    problems = []
    headers = {"Accept": "application/vnd.pypi.simple.v1+json"}
    with httpx.Client(headers=headers, timeout=20, follow_redirects=True) as client:
        for name, version in packages.items():
            reply = client.get(f"{INDEX}/{name}/")
            if reply.status_code == httpx.codes.NOT_FOUND:
                continue
            files = [f for f in reply.raise_for_status().json()["files"] if f"-{version}-" in f["filename"]]
            if files and all(file.get("yanked") for file in files):
                problems.append(f"{name} {version} was withdrawn: {files[0]['yanked']}")
    return problems


def vulnerable(packages: dict[str, str]) -> tuple[list[str], list[str]]:
    """(known vulnerabilities, packages that the advisory service did not answer for), by pip-audit."""
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder) / "requirements.txt"
        pinned.write_text("".join(f"{name}=={version}\n" for name, version in packages.items()))
        command = [
            sys.executable,
            "-m",
            "pip_audit",
            "--format=json",
            "--progress-spinner=off",
            "--disable-pip",
            "--no-deps",
        ]
        done = subprocess.run([*command, "-r", str(pinned)], check=False, capture_output=True, text=True, timeout=300)
    if not done.stdout.startswith("{"):
        return [], sorted(packages)
    listed = json.loads(done.stdout)["dependencies"]
    known = [
        f"{package['name']} {package['version']}: {flaw['id']}, fixed in {flaw['fix_versions'] or 'no release'}"
        for package in listed
        for flaw in package.get("vulns", [])
    ]
    return known, sorted(package["name"] for package in listed if "skip_reason" in package)


def main() -> int:
    """Check everything; the exit status."""
    packages = installed_closure("freebits", EXTRAS)
    problems = refused_licences(packages)
    try:
        problems += withdrawn(packages)
    except httpx.HTTPError as error:
        print(f"NOT CHECKED for withdrawn releases: the index cannot be reached ({type(error).__name__})")
    flaws, unchecked = vulnerable(packages)
    problems += flaws
    if unchecked:
        print(f"NOT CHECKED for vulnerabilities: the advisory service has no answer for {len(unchecked)} packages")
    print(f"{len(packages)} packages looked at, {len(problems)} problems")
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
