# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Responses: whether each names the request ID under which the client asked."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from opentelemetry.semconv.attributes.server_attributes import SERVER_PORT

from otel_backendai.names import HEADER_RESPONSE_REQUEST_ID
from tests.realstack.matrix.observation import Expectation, Observation, component_of
from tests.realstack.matrix.sentences import some
from tests.realstack.matrix.span_tree import SpanTree, is_http


def responses(expected: Expectation, observation: Observation, tree: SpanTree) -> list[str]:
    """Each response of an expected component has the client's request ID, once; one came from each that it calls."""
    components = _components(tree)
    answered = {
        components.get(urlsplit(response.url).port) for step in observation.steps for response in step.responses
    }
    return [
        *some(_without_request_id(expected, observation, components)),
        *(
            f"{called}: no response to the client was seen"
            for caller, called in expected.http_out
            if caller == "client" and called in expected.http_in and called not in answered
        ),
    ]


def _without_request_id(
    expected: Expectation, observation: Observation, components: dict[int | None, str]
) -> Iterator[str]:
    for step in observation.steps:
        for response in step.responses:
            place = urlsplit(response.url)
            component = components.get(place.port, "")
            if component in expected.http_in and list(response.request_ids) != [step.request_id]:
                named = "another" if len(response.request_ids) == 1 else str(len(response.request_ids) or "no")
                yield (
                    f"{component}: {named} {HEADER_RESPONSE_REQUEST_ID} on the response "
                    f"{response.status} to {response.method} {place.path} ({step.title})"
                )


def _components(tree: SpanTree) -> dict[int | None, str]:
    """Which component listens at a port, by the spans of those who were called there."""
    return {
        port: component_of(span)
        for span in tree.spans
        if span.kind == "server" and is_http(span) and isinstance(port := span.attributes.get(SERVER_PORT), int)
    }
