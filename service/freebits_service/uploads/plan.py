"""Check an announced upload and cut it into parts. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .. import schemas
from ..blobs.store import Limits
from ..errors import InvalidRequest, PartMismatch, TooLarge

_CONTAINER_SLACK_NBYTES = 64 * 1024
_NUMBERS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?", re.ASCII)
MOST_NUMBERS = 1000


@dataclass(frozen=True, slots=True)
class PartPlan:
    """Where a part lies: bytes ``[offset, offset + nbytes)`` of what is sent."""

    number: int
    offset: int
    nbytes: int


def part_count(stored_nbytes: int, part_nbytes: int) -> int:
    """How many parts; none for an empty file."""
    return -(-stored_nbytes // part_nbytes)


def plan_part(number: int, stored_nbytes: int, part_nbytes: int) -> PartPlan:
    """The place of a part; raises InvalidRequest when there is no such part."""
    count = part_count(stored_nbytes, part_nbytes)
    if not 0 <= number < count:
        raise InvalidRequest(f"part {number} does not exist, the upload has parts 0 to {count - 1}", part_count=count)
    offset = number * part_nbytes
    return PartPlan(number, offset, min(part_nbytes, stored_nbytes - offset))


def parse_numbers(text: str) -> tuple[int, int]:
    """The first and the last number of ``7`` or ``0-99``; raises InvalidRequest.

    >>> parse_numbers("0-99")
    (0, 99)
    """
    match = _NUMBERS.fullmatch(text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if not first <= last < first + MOST_NUMBERS:
        raise InvalidRequest(f"numbers={text[:40]!r} is not like 7 or 0-99 with at most {MOST_NUMBERS} numbers")
    return first, last


def check_announced(body: schemas.NewUpload, max_file_nbytes: int, limits: Limits) -> None:
    """Raises TooLarge, or InvalidRequest for sizes and digests that contradict each other."""
    if body.stored_nbytes > limits.largest_nbytes:
        raise TooLarge(
            f"an object of {body.stored_nbytes} bytes, the hub's store takes at most {limits.largest_nbytes}",
            limit=limits.largest_nbytes,
        )
    if body.nbytes > max_file_nbytes:
        raise TooLarge(f"a file of {body.nbytes} bytes, at most {max_file_nbytes} are taken", limit=max_file_nbytes)
    if body.encoding == "identity" and (body.stored_nbytes, body.stored_sha256) != (body.nbytes, body.sha256):
        raise InvalidRequest("with encoding 'identity' stored_nbytes and stored_sha256 are those of the file")
    if body.encoding == "freebits" and body.stored_nbytes > body.nbytes + body.nbytes // 100 + _CONTAINER_SLACK_NBYTES:
        raise InvalidRequest("the container is larger than the file; send the file with encoding 'identity'")


def check_part_length(plan: PartPlan, content_length: str | None) -> None:
    """Raises PartMismatch when the request announces another length than the part has."""
    if content_length is not None and content_length != str(plan.nbytes):
        raise PartMismatch(
            f"part {plan.number} has {plan.nbytes} bytes, the request announces {content_length[:20]}",
            number=plan.number,
            nbytes=plan.nbytes,
        )
