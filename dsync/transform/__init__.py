"""What stands between a source and a sink and changes documents: another process over gRPC, or a Python function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsync.errors import UnimplementedError
from dsync.lifecycle import Opened

if TYPE_CHECKING:
    from dsync import wire


class Transform(Opened):
    """Makes other documents and updates of documents and updates. The methods are those of `adiom.v1.TransformService`.

    A transform is pure: what it answers follows from the request alone, in every process, on every day. Many calls may be under way
    at once. A document that it cannot take is a DataError; what it leaves out of its answer is left out on purpose.
    """

    async def GetTransformInfo(self, request: wire.GetTransformInfoRequest) -> wire.GetTransformInfoResponse:
        """Which data types it takes, which it makes of each, and whether an answer names its namespaces itself."""
        raise UnimplementedError(f"{type(self).__name__} has no GetTransformInfo")

    async def GetTransform(self, request: wire.GetTransformRequest) -> wire.GetTransformResponse:
        """What becomes of the documents and updates of a namespace."""
        raise UnimplementedError(f"{type(self).__name__} has no GetTransform")
