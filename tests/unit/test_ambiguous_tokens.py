# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A token that two requests were given in one moment is of neither: its bearer is linked to both."""

import itertools
import json
import time
from functools import partial
from typing import Any

import fakeredis
import pytest
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, get_current_span

from otel_backendai import request_id
from otel_backendai.hops import deferred, tokens
from otel_backendai.hops.context_store import ContextStore
from otel_backendai.hops.kept_contexts import KeptContexts
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.hops.tokens import Token, digest_of
from otel_backendai.names import TOKEN_CHANNEL, TOKEN_KEY_PREFIX
from otel_backendai.propagators.kept_value import MAX_OTHERS, MAX_VALUE_LENGTH, parse_kept_others, parse_kept_value
from tests.conftest import Telemetry
from tests.unit.test_tokens import eventually

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJvcCI6ImRvd25sb2FkIiwiZXhwIjoxfQ.c2ln"  # noqa: S105  # nobody's
DIGEST = digest_of(TOKEN) or ""


class Clock:
    """Seconds since the epoch, moved by hand."""

    def __init__(self) -> None:
        self.now = time.time() - 100

    def time(self) -> float:
        """In the place of ``time.time``."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of everything."""
    made = Clock()
    monkeypatch.setattr(time, "time", made.time)
    return made


def make(request: str, table: KeptContexts | None = None) -> tuple[Context, int]:
    """Let a request make the token in this process, or in that of another table; its context, and its span's ID."""
    with SpanScope(deferred.HOP.tracer, "GET", SpanKind.SERVER, request_id.bind(request, Context())) as scope:
        context = context_api.get_current()
        if table is None:
            tokens.remember(TOKEN)
        else:
            table.remember(DIGEST, context)
        return context, scope.span.get_span_context().span_id


def links() -> tuple[Context, set[int]]:
    """What somebody starts with who brings the token and has no context."""
    context, found = tokens.continued(Context(), Token(DIGEST))
    return context, {link.context.span_id for link in found}


def test_two_requests_in_one_second(telemetry: Telemetry, clock: Clock) -> None:
    """The bearer has neither's request ID nor trace, and links to both."""
    _, first = make("request-1")
    clock.now += 0.4
    _, second = make("request-2")
    context, linked = links()
    assert context == Context()
    assert linked == {first, second}


def test_one_request_twice(telemetry: Telemetry, clock: Clock) -> None:
    """A client that asks again under the same ID is told from nobody: the later of its calls is continued."""
    make("request-1")
    clock.now += 0.4
    _, second = make("request-1")
    context, linked = links()
    assert (request_id.read(context), linked) == ("request-1", set())
    assert get_current_span(context).get_span_context().span_id == second


def test_a_later_request_takes_its_place(telemetry: Telemetry, clock: Clock) -> None:
    """An app's permit is the same for each start of it: minutes later it is the later start's alone."""
    make("request-1")
    clock.now += 60
    make("request-2")
    context, linked = links()
    assert (request_id.read(context), linked) == ("request-2", set())


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_other_processes_hear_of_both_in_any_order(telemetry: Telemetry, clock: Clock, order: tuple[int, ...]) -> None:
    """Each maker tells of its own, one of them having heard of another; who listens knows all in the end."""
    said: list[str] = []

    class Store:
        def tell(self, _: str, text: str) -> None:
            said.append(text)

        def write(self, *_: Any) -> None:
            pass

    makers: list[KeptContexts] = []
    spans = set()
    for number in range(3):
        maker = tokens.token_table()
        maker._channel = TOKEN_CHANNEL
        maker.store = Store()  # type: ignore[assignment]  # as much of one as is needed
        if number == 2:
            maker.hear(said[0].encode())
        spans.add(make(f"request-{number}", maker)[1])
        makers.append(maker)
        clock.now += 0.1
    for number in order:
        tokens.tokens.hear(said[number].encode())
        tokens.tokens.hear(said[number].encode())  # as who has made it hears it
    context, linked = links()
    assert context == Context()
    assert linked == spans


def test_redis_knows_both(telemetry: Telemetry, clock: Clock) -> None:
    """Also when two makers did not know of each other, once one of them has heard: a process that is started later."""
    server = fakeredis.FakeServer()
    client: Any = fakeredis.FakeRedis(server=server)
    spans = set()
    tables = [tokens.token_table() for _ in range(2)]
    key = f"{TOKEN_KEY_PREFIX}{DIGEST}"
    for number, table in enumerate(tables):
        table.store = ContextStore(lambda: fakeredis.FakeRedis(server=server))
        spans.add(make(f"request-{number}", table)[1])
        written = partial(lambda request: request in str(client.get(key)), f"request-{number}")
        eventually(written)
        clock.now += 0.1
    tables[0].hear(f"{DIGEST} ".encode() + client.get(key))
    eventually(lambda: len(parse_kept_others(client.get(key))) == 1)
    value = json.loads(client.get(key))
    assert value["request_id"] == "request-1"
    assert [other["request_id"] for other in value["others"]] == ["request-0"]
    tokens.tokens.learn(DIGEST, client.get(key))
    assert links()[1] == spans


def test_who_came_before_redis_answered_is_linked_to_both(telemetry: Telemetry, clock: Clock) -> None:
    """Its trace has begun, and gets the links when the answer comes."""
    maker = tokens.token_table()
    server = fakeredis.FakeServer()
    maker.store = ContextStore(lambda: fakeredis.FakeRedis(server=server))
    tokens.tokens.store = ContextStore(lambda: fakeredis.FakeRedis(server=server))
    expected = {make("request-1", maker)[1], make("request-2", maker)[1]}
    client: Any = fakeredis.FakeRedis(server=server)
    eventually(lambda: len(parse_kept_others(client.get(f"{TOKEN_KEY_PREFIX}{DIGEST}"))) == 1)
    span: Span = deferred.HOP.tracer.start_span("GET /download")
    tokens.link_when_found(Context(), Token(DIGEST), span)
    eventually(lambda: len(getattr(span, "links", ())) == 2)
    assert {link.context.span_id for link in span.links} == expected  # type: ignore[attr-defined]  # of the SDK
    span.end()


def test_so_many_and_no_more(telemetry: Telemetry, clock: Clock) -> None:
    """Nobody makes the value grow without a bound; the bearer remains nobody's."""
    for number in range(20):
        make(f"{number:0128}")
        clock.now += 0.01
    kept = tokens.tokens.known(DIGEST)
    assert kept is not None
    assert len(kept.others) == MAX_OTHERS
    assert links()[0] == Context()


@pytest.mark.parametrize(
    "others",
    [None, 7, "text", {}, [None], [[]], [{}], [{"request_id": "a b"}], [{"traceparent": "00-zz"}], [{"time": 1}]],
)
def test_hostile_others_are_nobody(telemetry: Telemetry, others: object) -> None:
    """Anyone who may write to Redis may have written it: the token is of the request that is well-formed."""
    value = json.dumps({"request_id": "request-1", "time": 1_700_000_000.0, "others": others})
    assert parse_kept_others(value) == ()
    tokens.tokens.hear(f"{DIGEST} {value}".encode())
    assert request_id.read(links()[0]) == "request-1"


def test_a_value_of_many_is_within_its_bound(telemetry: Telemetry, clock: Clock) -> None:
    """The longest request IDs of all of them fit."""
    said: list[str] = []
    table = tokens.token_table()

    class Store:
        def tell(self, _: str, text: str) -> None:
            said.append(text)

        def write(self, *_: Any) -> None:
            pass

    table.store = Store()  # type: ignore[assignment]  # as much of one as is needed
    for number in range(MAX_OTHERS + 1):
        make(f"{number:0128}", table)
    _, _, value = said[-1].partition(" ")
    assert len(value) <= MAX_VALUE_LENGTH
    assert parse_kept_value(value) is not None
    assert len(parse_kept_others(value)) == MAX_OTHERS


def test_sessions_have_one_owner(telemetry: Telemetry, clock: Clock) -> None:
    """A session's end asked for within a second of its creation is the end's, as ever."""
    for request in ("request-1", "request-2"):
        with SpanScope(deferred.HOP.tracer, "POST", SpanKind.SERVER, request_id.bind(request, Context())):
            deferred.remember("session-1")
    kept = deferred.sessions.find("session-1")
    assert kept is not None
    assert (request_id.read(kept.context), kept.others) == ("request-2", ())
