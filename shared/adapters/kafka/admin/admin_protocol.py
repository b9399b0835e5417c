"""Requests of Kafka's protocol that aiokafka has no call for: ACLs, SCRAM users, quotas, single settings of topics.

Each is one version, which every Kafka from 3.5 to 4 speaks; its fields are in the order of the protocol's documentation
(docs/decisions/0017 says why they are here and not in another client).
"""

from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Array,
    Boolean,
    CompactArray,
    CompactBytes,
    CompactString,
    Float64,
    Int8,
    Int16,
    Int32,
    Schema,
    String,
    TaggedFields,
)


@dataclass(frozen=True, slots=True)
class Api:
    """One request in one version."""

    name: str
    key: int
    version: int
    request_schema: Schema
    answers: Schema
    is_flexible: bool = False
    struct: type[RequestStruct] = field(init=False)

    def __post_init__(self) -> None:
        known = {"API_KEY": self.key, "API_VERSION": self.version}
        answer = type(f"{self.name}Response", (Response,), {**known, "SCHEMA": self.answers})
        more = {"SCHEMA": self.request_schema, "RESPONSE_TYPE": answer, "FLEXIBLE_VERSION": self.is_flexible}
        object.__setattr__(self, "struct", type(f"{self.name}Request", (RequestStruct,), {**known, **more}))


class AdminRequest(Request[RequestStruct]):
    """A request of one of these APIs, with its fields in order."""

    API_KEY = -1

    def __init__(self, api: Api, *values: Any) -> None:
        self._api, self._values = api, values

    def prepare(self, versions: dict[int, tuple[int, int]]) -> RequestStruct:
        """The frame, if the broker speaks this version."""
        first, last = versions.get(self._api.key, (0, -1))
        if not first <= self._api.version <= last:
            raise IncompatibleBrokerVersion(f"the broker has no {self._api.name} of version {self._api.version}")
        return self.build(self._api.struct)

    def build(self, request_struct_class: type[RequestStruct]) -> RequestStruct:
        """The frame."""
        return request_struct_class(*self._values)


_TEXT: Final = String("utf-8")
_COMPACT: Final = CompactString("utf-8")
_ACL: Final = (
    ("resource_type", Int8), ("resource_name", _TEXT), ("pattern_type", Int8), ("principal", _TEXT), ("host", _TEXT),
    ("operation", Int8), ("permission", Int8),
)  # fmt: skip
_ERROR: Final = (("error_code", Int16), ("error_message", _TEXT))

DESCRIBE_ACLS: Final = Api(
    "DescribeAcls", 29, 1, Schema(*_ACL),
    Schema(
        ("throttle_time_ms", Int32), *_ERROR,
        ("resources", Array(
            ("resource_type", Int8), ("resource_name", _TEXT), ("pattern_type", Int8),
            ("acls", Array(("principal", _TEXT), ("host", _TEXT), ("operation", Int8), ("permission", Int8))),
        )),
    ),
)  # fmt: skip
CREATE_ACLS: Final = Api(
    "CreateAcls", 30, 1, Schema(("creations", Array(*_ACL))),
    Schema(("throttle_time_ms", Int32), ("results", Array(*_ERROR))),
)  # fmt: skip
DELETE_ACLS: Final = Api(
    "DeleteAcls", 31, 1, Schema(("filters", Array(*_ACL))),
    Schema(("throttle_time_ms", Int32), ("results", Array(*_ERROR, ("matches", Array(*_ERROR, *_ACL))))),
)  # fmt: skip
ALTER_CONFIGS: Final = Api(
    "IncrementalAlterConfigs", 44, 0,
    Schema(
        ("resources", Array(
            ("type", Int8), ("name", _TEXT),
            ("configs", Array(("name", _TEXT), ("operation", Int8), ("value", _TEXT))),
        )),
        ("only_checks", Boolean),
    ),
    Schema(("throttle_time_ms", Int32), ("results", Array(*_ERROR, ("type", Int8), ("name", _TEXT)))),
)  # fmt: skip
_ENTITY: Final = Array(("entity_type", _TEXT), ("entity_name", _TEXT))
ALTER_QUOTAS: Final = Api(
    "AlterClientQuotas", 49, 0,
    Schema(
        ("entries", Array(
            ("entity", _ENTITY), ("ops", Array(("key", _TEXT), ("value", Float64), ("removes", Boolean))),
        )),
        ("only_checks", Boolean),
    ),
    Schema(("throttle_time_ms", Int32), ("entries", Array(*_ERROR, ("entity", _ENTITY)))),
)  # fmt: skip
DESCRIBE_USERS: Final = Api(
    "DescribeUserScramCredentials", 50, 0,
    Schema(("users", CompactArray(("name", _COMPACT), ("tags", TaggedFields))), ("tags", TaggedFields)),
    Schema(
        ("throttle_time_ms", Int32), ("error_code", Int16), ("error_message", _COMPACT),
        ("results", CompactArray(
            ("user", _COMPACT), ("error_code", Int16), ("error_message", _COMPACT),
            ("credentials", CompactArray(("mechanism", Int8), ("iterations", Int32), ("tags", TaggedFields))),
            ("tags", TaggedFields),
        )),
        ("tags", TaggedFields),
    ),
    is_flexible=True,
)  # fmt: skip
ALTER_USERS: Final = Api(
    "AlterUserScramCredentials", 51, 0,
    Schema(
        ("deletions", CompactArray(("name", _COMPACT), ("mechanism", Int8), ("tags", TaggedFields))),
        ("upsertions", CompactArray(
            ("name", _COMPACT), ("mechanism", Int8), ("iterations", Int32), ("salt", CompactBytes),
            ("salted_password", CompactBytes), ("tags", TaggedFields),
        )),
        ("tags", TaggedFields),
    ),
    Schema(
        ("throttle_time_ms", Int32),
        ("results", CompactArray(
            ("user", _COMPACT), ("error_code", Int16), ("error_message", _COMPACT), ("tags", TaggedFields),
        )),
        ("tags", TaggedFields),
    ),
    is_flexible=True,
)  # fmt: skip
