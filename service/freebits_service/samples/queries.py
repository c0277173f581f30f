"""Statements that count many rows, and those that keep what they found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import case, func, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from ..clock import in_seconds, now
from ..models import Blob, Job, Sample, Upload

WINDOW_ROWS = 1_000_000


def read_samples(session: Session) -> Sequence[Sample]:
    """All samples as they were last taken."""
    return session.scalars(select(Sample)).all()


def claim(session: Session, name: str, interval_s: float) -> bool:
    """Take it upon this process to take a sample that is due; False when another process does."""
    statement = update(Sample).where(Sample.name == name, Sample.due_at <= now())
    return session.scalar(statement.values(due_at=in_seconds(interval_s)).returning(Sample.name)) is not None


def keep(session: Session, name: str, value: Mapping[str, Any]) -> None:
    """Keep what was found."""
    session.execute(update(Sample).where(Sample.name == name).values(value=dict(value), taken_at=now()))


def count_queues(session: Session) -> dict[str, Any]:
    """Work that waits, runs or gave up; reads only the index of job states, so it costs what is pending."""
    waiting = session.execute(
        select(Job.queue, Job.priority, func.count(), func.min(Job.not_before))
        .where(Job.state == "queued")
        .group_by(Job.queue, Job.priority)
    )
    unfinished = session.execute(
        select(Job.state, func.count()).where(Job.state.in_(("queued", "running", "parked"))).group_by(Job.state)
    )
    return {
        "queues": [[queue, priority, jobs, oldest.timestamp()] for queue, priority, jobs, oldest in waiting],
        "jobs": {row[0]: row[1] for row in unfinished},
    }


def count_content(session: Session) -> dict[str, Any]:
    """All blobs, all finished work: reads every row of both tables, in windows that keep each statement short."""
    blobs: dict[str, list[int]] = {}
    jobs: dict[str, int] = {}
    encodings, seconds, encoded_nbytes = 0, 0.0, 0
    for start, stop in _windows(session, Blob.id):
        for state, *numbers in _blobs_by_state(session, start, stop):
            so_far = blobs.get(state, [0, 0, 0])
            blobs[state] = [int(number) + before for number, before in zip(numbers, so_far, strict=True)]
    for start, stop in _windows(session, Job.id):
        for state, ended, encoded, encode_s, nbytes in _ended_by_state(session, start, stop):
            jobs[state] = jobs.get(state, 0) + ended
            encodings += encoded
            seconds += float(encode_s or 0)
            encoded_nbytes += int(nbytes or 0)
    receiving = session.scalar(select(func.count()).select_from(Upload).where(Upload.state == "receiving"))
    return {
        "blobs": blobs,
        "jobs": jobs,
        "encodings": [encodings, seconds, encoded_nbytes],
        "uploads_receiving": receiving or 0,
    }


def _windows(session: Session, row_id: InstrumentedAttribute[int]) -> Iterator[tuple[int, int]]:
    last = session.scalar(select(func.max(row_id))) or 0
    return ((start, start + WINDOW_ROWS) for start in range(0, last, WINDOW_ROWS))


def _blobs_by_state(session: Session, start: int, stop: int) -> Iterable[Any]:
    stored = case((Blob.state == "remote", 0), else_=func.coalesce(Blob.container_nbytes, Blob.nbytes))
    statement = select(Blob.state, func.count(), func.sum(Blob.nbytes), func.sum(stored)).group_by(Blob.state)
    return session.execute(statement.where(Blob.id > start, Blob.id <= stop))


def _ended_by_state(session: Session, start: int, stop: int) -> Iterable[Any]:
    encoded_nbytes = case((Job.encode_s.is_not(None), Job.progress_nbytes), else_=0)
    encoded = (func.count(Job.encode_s), func.sum(Job.encode_s), func.sum(encoded_nbytes))
    statement = select(Job.state, func.count(), *encoded).where(Job.state.in_(("done", "cancelled")))
    return session.execute(statement.where(Job.id > start, Job.id <= stop).group_by(Job.state))
