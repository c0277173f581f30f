"""What Xet clients send as JSON."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from ..schemas.fields import Nbytes


class NewXorb(BaseModel):
    """A xorb to be sent to the store itself. Its checksum is not looked at: chunks are checked one by one later."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    length: Nbytes
