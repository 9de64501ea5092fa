"""Agrees, before anything is touched, on what both ends can do."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from dsync import wire
from dsync.connector import Connector
from dsync.errors import UsageError
from dsync.settings import Mode
from dsync.transform import Transform

KNOWN_TYPES = (wire.BSON, wire.JSON_ID, wire.EXTENDED_JSON)


class TransformTypes(Struct, frozen=True):
    """What a transform gets and what it is asked for; `multiple`: its answers name their namespaces one by one."""

    request: wire.Type
    response: wire.Type
    multiple: bool


_NOT_FOLLOWED = "changes are not followed after the copy: {}"


class Agreement(Struct, frozen=True):
    """What a run of this pair does: the source is asked for `native`, the sink gets `type`."""

    source: wire.GetInfoResponse
    destination: wire.GetInfoResponse
    native: wire.Type
    type: wire.Type
    transform: TransformTypes | None = None

    @property
    def lines(self) -> bool:
        """Whether documents can go from one end to the other as lines of text, or without messages around them."""
        offered, taken = self.source.capabilities.source.lines, self.sink.lines
        return offered and taken and self.transform is None and self.native == self.type

    @property
    def same_kind(self) -> bool:
        """Whether the two ends may be one store: those of two kinds hold nothing in common."""
        return self.source.db_type == self.destination.db_type

    @property
    def sink(self) -> wire.Capabilities.Sink:
        """The destination's capabilities."""
        return self.destination.capabilities.sink

    @property
    def says_whether_it_streams(self) -> bool:
        """Whether the source knows more than the plain contract, in which only a plan with positions tells."""
        return self.source.capabilities.source.HasField("updates")


async def agree(source: Connector, destination: Connector, transform: Transform | None = None) -> Agreement:
    """Raises UsageError with the reason where the pair cannot work, or not with the transform between them."""
    source_info = await source.GetInfo(wire.GetInfoRequest())
    destination_info = await destination.GetInfo(wire.GetInfoRequest())
    if not source_info.capabilities.HasField("source"):
        raise UsageError(f"{source_info.db_type!r} cannot be read from", remedy="use it as the destination")
    if not destination_info.capabilities.HasField("sink"):
        raise UsageError(f"{destination_info.db_type!r} cannot be written to", remedy="use it as the source")
    offered = source_info.capabilities.source.supported_data_types
    taken = destination_info.capabilities.sink.supported_data_types
    if transform is None:
        return Agreement(source_info, destination_info, *choose_types(offered, taken))
    info = await transform.GetTransformInfo(wire.GetTransformInfoRequest())
    return Agreement(source_info, destination_info, *choose_transform(offered, info, taken))


def choose_mode(agreement: Agreement, asked: Mode | None) -> tuple[Mode, str]:
    """What a run does, and why it does not follow changes where it might have been expected to ("" otherwise).

    Raises UsageError where a mode was asked for that the pair cannot do.
    """
    source, sink = agreement.source.capabilities.source, agreement.sink
    if asked == "InitialSync":
        return asked, ""
    reason = ""
    if not source.updates and agreement.says_whether_it_streams:
        reason = _no_stream(agreement)
    elif not sink.updates and (asked is None or sink.HasField("updates")):
        reason = f"{agreement.destination.db_type} takes no updates"
    if not reason:
        return asked or "Full", ""
    if asked is not None:
        raise _impossible(asked, reason)
    return "InitialSync", _NOT_FOLLOWED.format(reason)


def no_stream(agreement: Agreement, asked: Mode | None) -> str:
    """Why changes are not followed where the plan holds no position. Raises UsageError where they were asked for."""
    if asked is not None:
        raise _impossible(asked, _no_stream(agreement))
    return _NOT_FOLLOWED.format(_no_stream(agreement))


def _no_stream(agreement: Agreement) -> str:
    return f"{agreement.source.db_type} has no change stream here"


def _impossible(asked: Mode, reason: str) -> UsageError:
    return UsageError(f"--mode {asked} cannot work: {reason}", remedy="copy with --mode InitialSync")


def choose_types(offered: Sequence[wire.Type], taken: Sequence[wire.Type]) -> tuple[wire.Type, wire.Type]:
    """(what to ask the source for, what to give the sink): the shared type that both prefer most, else a conversion.

    Both lists are in the order of preference. Raises UsageError where a side knows none of dsync's types.
    """
    ours, theirs = _known(offered, taken)
    shared = [t for t in ours if t in theirs]
    if shared:
        best = min(shared, key=lambda t: ours.index(t) + theirs.index(t))
        return best, best
    return ours[0], theirs[0]


def choose_transform(
    offered: Sequence[wire.Type], info: wire.GetTransformInfoResponse, taken: Sequence[wire.Type]
) -> tuple[wire.Type, wire.Type, TransformTypes]:
    """(what to ask the source for, what to give the sink, what the transform does): with as few conversions as can be.

    Raises UsageError where the transform knows none of dsync's types.
    """
    ours, theirs = _known(offered, taken)
    ways = []
    for each in info.transforms:
        for response in each.response_types:
            if each.request_type in KNOWN_TYPES and response in KNOWN_TYPES:
                native, target = _nearest(each.request_type, ours), _nearest(response, theirs)
                conversions = (native != each.request_type) + (target != response)
                types = TransformTypes(each.request_type, response, info.use_multiple_responses)
                ways.append((conversions, ours.index(native) + theirs.index(target), native, target, types))
    if not ways:
        raise UsageError("the transform takes no data type that dsync knows", remedy="use a newer version of it")
    return min(ways, key=lambda way: way[:2])[2:]


def _nearest(wanted: wire.Type, available: Sequence[wire.Type]) -> wire.Type:
    """The type itself, or what is converted best: in BSON every document has its id."""
    return next((each for each in (wanted, wire.BSON) if each in available), available[0])


def _known(offered: Sequence[wire.Type], taken: Sequence[wire.Type]) -> tuple[list[wire.Type], list[wire.Type]]:
    ours, theirs = [t for t in offered if t in KNOWN_TYPES], [t for t in taken if t in KNOWN_TYPES]
    if not ours or not theirs:
        side = "source offers" if not ours else "destination takes"
        raise UsageError(f"the {side} no data type that dsync knows", remedy="use a newer version of the connector")
    return ours, theirs
