"""What a replay was asked to do."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ._input import printable

_SECRET_PARAMETER = re.compile(r"(?i)([?&](?:password|seal_key)=)[^&#]*")
_USER_INFO = re.compile(r"(?s)^([^:/?#]+://[^/?#@:]*):.*@")


@dataclass(frozen=True)
class Settings:
    """The options of `coffer replay`."""

    url: str = "mem://"
    ttl: str = "5m"
    prefix: str | None = None
    namespace: str | None = None
    memory: str | None = None
    database: str | None = None
    limit: int | None = None
    threads: int = 1
    speed: float | None = None  # None: as fast as it goes; 1.0: the trace's own pace

    @property
    def is_local(self) -> bool:
        """Whether the cache is in this process and nothing has to be cleaned up."""
        return self.url.lower().startswith("mem:")

    @property
    def shown_url(self) -> str:
        """The URL for a person or a file: without passwords and keys."""
        hidden = _USER_INFO.sub(r"\1:***@", self.url)
        return printable(_SECRET_PARAMETER.sub(r"\1***", hidden))

    @property
    def place(self) -> str:
        """The URL without its parameters, for a headline."""
        return self.shown_url.partition("?")[0]
