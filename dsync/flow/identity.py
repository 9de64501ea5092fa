"""Which flow a run belongs to, and whether it is still the same."""

from __future__ import annotations

import hashlib
from typing import Any

from msgspec.structs import replace

from dsync import wire
from dsync.endpoint import Endpoint
from dsync.errors import UsageError
from dsync.flow.agree import Agreement
from dsync.settings import Settings
from dsync.state import Flow
from dsync.transform import Transform

# Of documents, where the sink has no wish.
BATCH_BYTES = 4 << 20
# Where nobody says how many. Lines are no objects here, however many they are: their bytes alone count.
BATCH_DOCUMENTS, BATCH_LINES = 4_000, 1_000_000
# What settings of a flow call its transform.
TRANSFORM = "transform"


def flow_id(source: str, destination: str, name: str) -> str:
    """16 hexadecimal digits from the identities of the ends and the flow's name."""
    return hashlib.blake2b(f"{source}\0{destination}\0{name}".encode(), digest_size=8).hexdigest()


def reverse_name(settings: Settings) -> str:
    """The name of the flow that leads back what this one brings over."""
    return f"reverse {settings.flow or settings.selection}".strip()


def make_flow(agreement: Agreement, source: Endpoint, destination: Endpoint, settings: Settings) -> Flow:
    """The flow of a run, as if it began now."""
    name = settings.flow or str(settings.selection)
    ends = agreement.source.id, agreement.destination.id
    lasting: dict[str, Any] = {
        "namespace": str(settings.selection),
        "source": source.lasting_options(),
        "destination": destination.lasting_options(),
    }
    if settings.transform is not None:
        lasting[TRANSFORM] = transform_name(settings.transform)
    return Flow(
        id=flow_id(*ends, name),
        name=name,
        source=ends[0],
        destination=ends[1],
        settings=lasting,
        batch=batch_measures(agreement, settings),
    )


def reverse_flow(flow: Flow, settings: Settings) -> Flow:
    """The flow that leads the destination's changes back, as it is when a forward run ends."""
    return replace(
        flow,
        id=flow_id(flow.destination, flow.source, reverse_name(settings)),
        name=reverse_name(settings),
        source=flow.destination,
        destination=flow.source,
        settings={"namespace": str(settings.selection.reversed()), "source": {}, "destination": {}},
        status="following",
        namespaces={},
    )


def batch_measures(agreement: Agreement, settings: Settings) -> dict[str, int]:
    """How the flow's batches are cut: types, bytes, documents. A rate limit makes them small enough for about one a second."""
    in_lines = agreement.lines and agreement.type != wire.BSON and not agreement.sink.keyed
    documents = settings.writer_batch_size or (BATCH_LINES if in_lines else BATCH_DOCUMENTS)
    if settings.write_rate_limit:
        documents = max(1, min(documents, int(settings.write_rate_limit)))
    measures: dict[str, int] = {
        "native": agreement.native,
        "type": agreement.type,
        "bytes": agreement.sink.preferred_batch_bytes or BATCH_BYTES,
        "documents": documents,
    }
    if agreement.transform:
        measures |= {"request": agreement.transform.request, "response": agreement.transform.response}
    return measures


def transform_name(transform: str | Endpoint | Transform) -> str:
    """What a flow remembers of its transform."""
    if isinstance(transform, str):
        transform = Endpoint(transform)
    if not isinstance(transform, Endpoint):
        return type(transform).__name__
    options = transform.lasting_options()
    return " ".join([transform.shown, *(f"--{name.replace('_', '-')} {value}" for name, value in options.items())])


def refuse_changed_settings(known: dict[str, Any], asked: dict[str, Any]) -> None:
    """Raises UsageError that names the first option in which an unfinished flow differs from what is asked for now."""
    for name, before, now in _differences(known, asked):
        raise UsageError(
            f"{name} is {_shown(now)} now, but the unfinished flow was begun with {_shown(before)}",
            remedy="give the same options to go on, start over with --restart, or begin another with --flow NAME",
        )


def refuse_changed_transform(known: dict[str, Any], asked: dict[str, Any]) -> None:
    """The same for the transform alone, by which also the changes of a flow go that is copied already."""
    refuse_changed_settings(*({TRANSFORM: each[TRANSFORM]} if TRANSFORM in each else {} for each in (known, asked)))


def _differences(known: dict[str, Any], asked: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    flat_known, flat_asked = _flat(known), _flat(asked)
    names = sorted({*flat_known, *flat_asked})
    return [(n, flat_known.get(n), flat_asked.get(n)) for n in names if flat_known.get(n) != flat_asked.get(n)]


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    """Option names as they are typed -> values as JSON keeps them."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if key == TRANSFORM:
            flat["the transform"] = value
        elif isinstance(value, dict):
            flat |= {f"the {key}'s --{name.replace('_', '-')}": _plain(item) for name, item in value.items()}
        else:
            flat["--" + key.replace("_", "-")] = _plain(value)
    return flat


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _shown(value: Any) -> str:
    return "not given" if value in (None, "") else repr(value)
