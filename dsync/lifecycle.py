"""What is opened before it is used and closed after it, as an async context manager."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class Opened:
    """`async with` opens and closes; also after a failed `open`."""

    async def open(self) -> None:
        """Gets ready; called once, before any other method."""

    async def close(self) -> None:
        """Lets go of everything; called once, also after a failed `open`."""

    async def __aenter__(self) -> Self:
        try:
            await self.open()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
