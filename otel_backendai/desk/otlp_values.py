# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What both encodings of OTLP have in common: the numbers of its enumerations, and names that are derived."""

from otel_backendai.desk.model import Attributes

SPAN_KINDS = ("", "internal", "server", "client", "producer", "consumer")
STATUSES = ("unset", "ok", "error")
_SEVERITIES = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_SERVICE_NAME = "service.name"


def span_kind(number: int) -> str:
    """The model's word for a SpanKind; an unknown number reads as unspecified, as protobuf's open enums want."""
    return SPAN_KINDS[number] if 0 <= number < len(SPAN_KINDS) else ""


def status_name(number: int) -> str:
    """The model's word for a StatusCode; an unknown number reads as unset."""
    return STATUSES[number] if 0 <= number < len(STATUSES) else "unset"


def severity_name(text: str, number: int) -> str:
    """The record's own severity text, else the short name of its SeverityNumber (1 to 24, four to a name), else ""."""
    if text:
        return text
    return _SEVERITIES[(number - 1) // 4] if 1 <= number <= 24 else ""


def service_name(resource: Attributes) -> str:
    """The resource's service name. The words for a resource without one are Jaeger's."""
    if _SERVICE_NAME not in resource:
        return "missing-service-name"
    name = resource[_SERVICE_NAME]
    if not isinstance(name, str):
        return "service-name-wrong-type"
    return name or "empty-service-name"
