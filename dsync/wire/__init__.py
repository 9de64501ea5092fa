"""The interface's messages, generated from `proto/adiom/v1`, under short names."""

from typing import TypeAlias

from dsync.wire.gen.adiom.v1.messages_pb2 import (
    BsonValue,
    Capabilities,
    DataType,
    Definition,
    FinishNamespaceRequest,
    FinishNamespaceResponse,
    GeneratePlanRequest,
    GeneratePlanResponse,
    GetByIdsRequest,
    GetByIdsResponse,
    GetInfoRequest,
    GetInfoResponse,
    GetNamespaceMetadataRequest,
    GetNamespaceMetadataResponse,
    GetTransformInfoRequest,
    GetTransformInfoResponse,
    GetTransformRequest,
    GetTransformResponse,
    ListDataRequest,
    ListDataResponse,
    Partition,
    ReadDefinitionsRequest,
    ReadDefinitionsResponse,
    StreamLSNRequest,
    StreamLSNResponse,
    StreamUpdatesRequest,
    StreamUpdatesResponse,
    TransformResponse,
    Update,
    UpdatesPartition,
    UpdateType,
    WriteDataRequest,
    WriteDataResponse,
    WriteDefinitionRequest,
    WriteDefinitionResponse,
    WriteUpdatesRequest,
    WriteUpdatesResponse,
)

# A value of DataType.
Type: TypeAlias = DataType.ValueType

BSON = DataType.DATA_TYPE_MONGO_BSON
JSON_ID = DataType.DATA_TYPE_JSON_ID
EXTENDED_JSON = DataType.DATA_TYPE_EXTENDED_JSON

INSERT = UpdateType.UPDATE_TYPE_INSERT
UPDATE = UpdateType.UPDATE_TYPE_UPDATE
DELETE = UpdateType.UPDATE_TYPE_DELETE
PARTIAL_UPDATE = UpdateType.UPDATE_TYPE_PARTIAL_UPDATE
DROP = UpdateType.UPDATE_TYPE_DROP

__all__ = [
    "BSON",
    "DELETE",
    "DROP",
    "EXTENDED_JSON",
    "INSERT",
    "JSON_ID",
    "PARTIAL_UPDATE",
    "UPDATE",
    "BsonValue",
    "Capabilities",
    "DataType",
    "Definition",
    "FinishNamespaceRequest",
    "FinishNamespaceResponse",
    "GeneratePlanRequest",
    "GeneratePlanResponse",
    "GetByIdsRequest",
    "GetByIdsResponse",
    "GetInfoRequest",
    "GetInfoResponse",
    "GetNamespaceMetadataRequest",
    "GetNamespaceMetadataResponse",
    "GetTransformInfoRequest",
    "GetTransformInfoResponse",
    "GetTransformRequest",
    "GetTransformResponse",
    "ListDataRequest",
    "ListDataResponse",
    "Partition",
    "ReadDefinitionsRequest",
    "ReadDefinitionsResponse",
    "StreamLSNRequest",
    "StreamLSNResponse",
    "StreamUpdatesRequest",
    "StreamUpdatesResponse",
    "TransformResponse",
    "Type",
    "Update",
    "UpdateType",
    "UpdatesPartition",
    "WriteDataRequest",
    "WriteDataResponse",
    "WriteDefinitionRequest",
    "WriteDefinitionResponse",
    "WriteUpdatesRequest",
    "WriteUpdatesResponse",
]
