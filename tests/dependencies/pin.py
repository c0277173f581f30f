"""Print the versions that images are built from: what is installed here and freebits[service,otel] needs.

``make pins`` writes them to ``docker/constraints.txt``, for the tests to pass with.
"""

from __future__ import annotations

from audit import EXTRAS, installed_closure

NOT_INSTALLED_HERE = ["torch==2.13.0"]  # only the GPU image has it


def main() -> None:
    """Print one pin per line."""
    found = installed_closure("freebits", EXTRAS)
    print("# Written by `make pins`: what the tests passed with.")
    print("\n".join([*(f"{name}=={version}" for name, version in sorted(found.items())), *NOT_INSTALLED_HERE]))


if __name__ == "__main__":
    main()
