"""The services of the interface that dsync speaks."""

from __future__ import annotations

from google.protobuf.descriptor import ServiceDescriptor

from dsync.connector import Connector
from dsync.transform import Transform
from dsync.wire.gen.adiom.v1 import adiom_pb2

CONNECTOR_SERVICE = adiom_pb2.DESCRIPTOR.services_by_name["ConnectorService"]
TRANSFORM_SERVICE = adiom_pb2.DESCRIPTOR.services_by_name["TransformService"]


def service_of(served: Connector | Transform) -> ServiceDescriptor:
    """What a peer calls it by."""
    return TRANSFORM_SERVICE if isinstance(served, Transform) else CONNECTOR_SERVICE
