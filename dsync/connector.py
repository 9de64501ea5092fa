"""What a connector author subclasses, and how a connector presents itself on the command line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dsync.errors import UnimplementedError
from dsync.lifecycle import Opened

if TYPE_CHECKING:  # descriptions of connectors must be cheap to import, and protobuf costs 40 ms
    import click

    from dsync import wire


class Connector(Opened):
    """A store: source, sink or both. The methods are those of the gRPC service `adiom.v1.ConnectorService`, by the same names.

    Every method answers UNIMPLEMENTED until a subclass overrides it. Errors are those of `dsync.errors`; over gRPC they travel as
    status codes. All methods run on one event loop: blocking drivers belong into `asyncio.to_thread`. Many calls may be under
    way at once. What is promised: cursors hold all that is needed to go on, in another process, an hour later; the same cursor
    gives the same page while the data stands still; a write's answer means durable; a repeated write changes nothing.
    """

    async def open(self) -> None:
        """Connects; called once, before any other method. Raises EndpointError where the store cannot be used."""

    def _lacks(self, method: str) -> UnimplementedError:
        return UnimplementedError(f"{type(self).__name__} has no {method}")

    async def GetInfo(self, request: wire.GetInfoRequest) -> wire.GetInfoResponse:
        """What the store is and can do; the same in every process."""
        raise self._lacks("GetInfo")

    async def GetNamespaceMetadata(
        self, request: wire.GetNamespaceMetadataRequest
    ) -> wire.GetNamespaceMetadataResponse:
        """What is known of a namespace, under the name that GeneratePlan or WriteData uses; one not there has 0 documents."""
        raise self._lacks("GetNamespaceMetadata")

    async def GeneratePlan(self, request: wire.GeneratePlanRequest) -> wire.GeneratePlanResponse:
        """Partitions that together hold every document of the selection once; namespaces without documents have one partition.

        Update partitions' cursors are positions from before the answer, so that a copy that starts now misses nothing.
        """
        raise self._lacks("GeneratePlan")

    async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        """A page of a partition, in the type asked for; pages of 64 KB (text) to 2 MB (BSON) serve best, and may be empty."""
        raise self._lacks("ListData")

    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        """Writes a batch durably: keyed stores overwrite by id, others replace what came under the same `write_id`."""
        raise self._lacks("WriteData")

    async def WriteUpdates(self, request: wire.WriteUpdatesRequest) -> wire.WriteUpdatesResponse:
        """Applies updates durably, those of one id in order; a repeated call changes nothing."""
        raise self._lacks("WriteUpdates")

    async def FinishNamespace(self, request: wire.FinishNamespaceRequest) -> wire.FinishNamespaceResponse:
        """Publishes the named batches, removes what earlier tries of the flow left besides. Repeatable."""
        raise self._lacks("FinishNamespace")

    async def prepare_finish(self, request: wire.FinishNamespaceRequest) -> None:
        """With which batches a later FinishNamespace will begin; all are written. A word within this process, not on the wire.

        Each further word is of the batches that follow. Whoever can do a part of that work ahead does it; most do nothing. What
        FinishNamespace says counts, should it differ.
        """

    def StreamUpdates(self, request: wire.StreamUpdatesRequest) -> AsyncIterator[wire.StreamUpdatesResponse]:
        """Updates from the cursor on, for ever; an idle stream sends positions without updates from time to time."""
        raise self._lacks("StreamUpdates")

    def StreamLSN(self, request: wire.StreamLSNRequest) -> AsyncIterator[wire.StreamLSNResponse]:
        """How many updates there are from the cursor on, for ever."""
        raise self._lacks("StreamLSN")

    async def GetByIds(self, request: wire.GetByIdsRequest) -> wire.GetByIdsResponse:
        """The documents of these ids, in the order asked; empty bytes where there is none."""
        raise self._lacks("GetByIds")

    async def ReadDefinitions(self, request: wire.ReadDefinitionsRequest) -> wire.ReadDefinitionsResponse:
        """What the namespaces of a selection are besides their documents, in the order in which they can be made."""
        raise self._lacks("ReadDefinitions")

    async def WriteDefinition(self, request: wire.WriteDefinitionRequest) -> wire.WriteDefinitionResponse:
        """Makes a namespace what it was at the source. Repeatable. Raises DataError where something else is there."""
        raise self._lacks("WriteDefinition")

    async def cut_alike(
        self, partitions: Sequence[wire.Partition], like: Sequence[wire.Partition]
    ) -> list[wire.Partition]:
        """Partitions that together hold what `partitions` of this store hold, each the range and page size of one of `like`.

        Those are another store's. Empty where this cannot be said for sure. Not part of the service: ends that are in this process
        are compared faster for it.
        """
        return []


@dataclass(frozen=True, slots=True)
class ConnectorSpec:
    """How a connector presents itself; cheap to import, so that `dsync help` needs no driver.

    `factory` is "module:attribute" of a callable `(uri, options) -> Connector`, imported only when the connector is used;
    `options` maps the names of `options`, `source_options` and `sink_options` to values. Options are click's: names in the
    `--kebab-case` of the command line. `secrets` and `tuning` name options (in snake_case) whose change does not make a
    run another one; every other option is part of what a flow remembers. `uri_options` lets `scheme://...?option=value` set
    options; connectors whose URIs have a query of their own turn it off.
    """

    name: str
    summary: str
    examples: tuple[str, ...]
    factory: str
    # The same of a callable that makes a `dsync.transform.Transform`; empty where it is none.
    transform: str = ""
    options: tuple[click.Option, ...] = ()
    source_options: tuple[click.Option, ...] = ()
    sink_options: tuple[click.Option, ...] = ()
    secrets: frozenset[str] = frozenset()
    tuning: frozenset[str] = frozenset()
    # The extra of the package that brings the driver, as in `pip install 'dsync[extra]'`; empty when nothing is needed.
    extra: str = ""
    source: bool = True
    sink: bool = True
    uri_options: bool = True
