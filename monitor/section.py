"""What all sections of the configuration share."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Probability = Annotated[float, Field(gt=0, lt=1)]


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}", value):
        raise ValueError("not a name; write a letter or digit, then up to 199 of these or _ . -")
    return value


Name = Annotated[str, AfterValidator(_name)]


class Settings(BaseModel):
    """The root of all sections: frozen, and a key that is not known is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
