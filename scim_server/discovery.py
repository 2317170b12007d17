"""Discovery (RFC 7644 §4): what this server can do, derived from what it does."""

import orjson

from app_core.errors import NotFound
from app_core.resource import JsonObject
from app_core.work import Work
from scim_server.errors import ScimError
from scim_server.exchange import LIST_RESPONSE, Answer, Call, Limits
from scim_server.schemas import RESOURCE_TYPES, SCHEMAS, ResourceType

CONFIG = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
RESOURCE_TYPE = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"


def service_provider_config(work: Work, call: Call) -> Answer:
    """Answer /ServiceProviderConfig (RFC 7643 §5, RFC 9865 §4)."""
    _refuse_filter(call)
    return Answer(200, orjson.dumps(config(call.base, call.limits)))


def config(base: str, limits: Limits) -> JsonObject:
    """Say what is supported, and how far."""
    return {
        "schemas": [CONFIG],
        "patch": {"supported": True},
        "bulk": {
            "supported": True,
            "maxOperations": limits.bulk_operations,
            "maxPayloadSize": limits.body_bytes,
        },
        "filter": {"supported": True, "maxResults": limits.max_page_size},
        "changePassword": {"supported": True},
        "sort": {"supported": True},
        "etag": {"supported": True},
        "pagination": {
            "cursor": True,
            "index": True,
            "defaultPaginationMethod": "index",
            "defaultPageSize": limits.page_size,
            "maxPageSize": limits.max_page_size,
        },
        "authenticationSchemes": [
            {
                "type": "oauthbearertoken",
                "name": "OAuth Bearer Token",
                "description": "A secret token made by the vendor, sent as a bearer token.",
                "specUri": "https://www.rfc-editor.org/info/rfc6750",
                "primary": True,
            }
        ],
        "meta": {"resourceType": "ServiceProviderConfig", "location": f"{base}/ServiceProviderConfig"},
    }


def resource_types(work: Work, call: Call) -> Answer:
    """Answer /ResourceTypes."""
    _refuse_filter(call)
    return _list([_resource_type(call, each) for each in RESOURCE_TYPES])


def resource_type(work: Work, call: Call) -> Answer:
    """Answer one of /ResourceTypes by its name."""
    for each in RESOURCE_TYPES:
        if each.name == call.key:
            return Answer(200, orjson.dumps(_resource_type(call, each)))
    raise NotFound("ResourceType", call.key)


def schemas(work: Work, call: Call) -> Answer:
    """Answer /Schemas."""
    _refuse_filter(call)
    return _list([_schema(call, urn) for urn in SCHEMAS])


def schema(work: Work, call: Call) -> Answer:
    """Answer one of /Schemas by its URN."""
    if call.key not in SCHEMAS:
        raise NotFound("Schema", call.key)
    return Answer(200, orjson.dumps(_schema(call, call.key)))


def me(work: Work, call: Call) -> Answer:
    """Answer /Me (RFC 7644 §3.11): a SCIM token stands for a directory, not for a person."""
    raise ScimError(501, None, "This token stands for a directory, not for a person, so there is no /Me.")


def _resource_type(call: Call, kind: ResourceType) -> JsonObject:
    extensions = [{"schema": urn, "required": False} for urn, _ in kind.extensions.values()]
    return {
        "schemas": [RESOURCE_TYPE],
        "id": kind.name,
        "name": kind.name,
        "description": SCHEMAS[kind.urn]["description"],
        "endpoint": kind.endpoint,
        "schema": kind.urn,
        **({"schemaExtensions": extensions} if extensions else {}),
        "meta": {"resourceType": "ResourceType", "location": f"{call.base}/ResourceTypes/{kind.name}"},
    }


def _schema(call: Call, urn: str) -> JsonObject:
    return {**SCHEMAS[urn], "meta": {"resourceType": "Schema", "location": f"{call.base}/Schemas/{urn}"}}


def _list(resources: list[JsonObject]) -> Answer:
    return Answer(
        200,
        orjson.dumps(
            {
                "schemas": [LIST_RESPONSE],
                "totalResults": len(resources),
                "startIndex": 1,
                "itemsPerPage": len(resources),
                "Resources": resources,
            }
        ),
    )


def _refuse_filter(call: Call) -> None:
    """Refuse a filter on discovery by 403, as RFC 7644 §4 asks: a client would take the answer for filtered."""
    if call.query.get("filter"):
        raise ScimError(403, None, "Discovery endpoints cannot be filtered.")
