"""How the records of result.json are typed: keys may be added, numbers are numbers."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Strict, with_config

Number = Annotated[float, Strict()]

open_and_strict = with_config(ConfigDict(extra="allow", strict=True))
