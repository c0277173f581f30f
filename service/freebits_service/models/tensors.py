"""What tensors there are, by content."""

from __future__ import annotations

from sqlalchemy import JSON, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from .tables import Base, BigId


class Tensor(Base):
    """Tensor `number` of a file, in the order of the file's directory.

    `digest` is the BLAKE3 of its decoded bytes, which are ``[start, start + nbytes)`` of the original file. In a
    container these are the chunks from ``start // chunk_nbytes`` on: any offset is one division away from its chunk.
    Equal tensors have equal digest, dtype and shape.
    """

    __tablename__ = "tensor"
    __table_args__ = (Index("ix_tensor_digest_blob_id_number", "digest", "blob_id", "number"),)
    blob_id: Mapped[int] = mapped_column(BigId, ForeignKey("blob.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(Text)
    dtype: Mapped[str] = mapped_column(String(16))
    shape: Mapped[list[int]] = mapped_column(JSON)
    nbytes: Mapped[int]
    start: Mapped[int]
    digest: Mapped[str] = mapped_column(String(64))
