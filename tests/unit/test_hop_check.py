# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The verdict on a flow: a tree that is whole passes, and a broken one is named by its hop."""

from dataclasses import replace

import pytest

from backendai_example.topology import FLOWS
from otel_backendai.cli.hop_check import FlowResult, check_flow
from otel_backendai.desk.model import LogLine, Span
from otel_backendai.names import ATTRIBUTE_ORIGIN_COMPONENT, ATTRIBUTE_ORIGIN_DETAIL, ATTRIBUTE_REQUEST_ID

REQUEST_ID = "req-1"
HTTP = {"http.request.method": "POST"}
RPC = {"rpc.system.name": "callosum"}
EVENT = {"messaging.system": "redis"}
ORIGIN = {ATTRIBUTE_ORIGIN_COMPONENT: "manager", ATTRIBUTE_ORIGIN_DETAIL: "background"}

Attributes = dict[str, str]


class Tree:
    """Spans by a name of the test's, and a log line of each service."""

    def __init__(self, flow: str) -> None:
        self.flow = FLOWS[flow]
        self.spans: dict[str, Span] = {}

    def add(self, name: str, parent: str | None, service: str, kind: str, attributes: Attributes) -> None:
        """Add a span below ``parent``; without one it begins a trace."""
        above = self.spans[parent] if parent else None
        self.spans[name] = Span(
            trace_id=above.trace_id if above else f"trace-of-{name}",
            span_id=name,
            parent_span_id=parent or "",
            name=name,
            kind=kind,
            start_ns=len(self.spans),
            end_ns=len(self.spans) + 1,
            service=service,
            attributes={ATTRIBUTE_REQUEST_ID: REQUEST_ID, **attributes},
            resource={"service.name": service},
        )

    def hop(self, name: str, parent: str | None, sender: str, receiver: str, attributes: Attributes) -> None:
        """Add the two spans of a hop: ``NAME>`` at the sender, ``>NAME`` at the receiver."""
        kinds = ("producer", "consumer") if attributes is EVENT else ("client", "server")
        self.add(f"{name}>", parent, sender, kinds[0], attributes)
        self.add(f">{name}", f"{name}>", receiver, kinds[1], attributes)

    def change(self, name: str, **changes: object) -> None:
        """Change fields of one span."""
        self.spans[name] = replace(self.spans[name], **changes)  # type: ignore[arg-type]  # the fields vary

    def remove(self, *names: str) -> None:
        """Take spans out, as if they had never arrived."""
        for name in names:
            del self.spans[name]

    def check(self, *, silent: str = "") -> FlowResult:
        """The verdict, with a log line of every service but ``silent``."""
        logs = [
            LogLine(1, "INFO", "hello", service, attributes={ATTRIBUTE_REQUEST_ID: REQUEST_ID})
            for service in {span.service for span in self.spans.values()} - {silent}
        ]
        return check_flow(self.flow, REQUEST_ID, list(self.spans.values()), logs)


@pytest.fixture
def session() -> Tree:
    """A session creation in which nothing was lost."""
    tree = Tree("session")
    tree.hop("create", None, "client", "manager", HTTP)
    tree.hop("prepare", ">create", "manager", "legacy-agent", RPC)
    tree.hop("kernel", ">create", "manager", "agent", RPC)
    tree.hop("started", ">kernel", "agent", "manager", EVENT)
    tree.hop("circuit", ">started", "manager", "app-proxy", HTTP)
    tree.hop("socket", ">circuit", "app-proxy", "wsproxy", HTTP)
    tree.hop("running", ">started", "manager", "manager", EVENT)
    tree.add("second worker", "running>", "manager", "consumer", EVENT)
    return tree


@pytest.fixture
def upload() -> Tree:
    """A file upload in which nothing was lost: two traces."""
    tree = Tree("upload")
    tree.hop("token", None, "client", "manager", HTTP)
    tree.hop("grant", ">token", "manager", "storage-proxy", HTTP)
    tree.hop("file", None, "client", "storage-proxy", HTTP)
    return tree


@pytest.fixture
def background() -> Tree:
    """A timer's run in which nothing was lost."""
    tree = Tree("background")
    tree.add("run", None, "manager", "internal", ORIGIN)
    tree.hop("sync", "run", "manager", "agent", RPC)
    tree.hop("synced", "run", "manager", "manager", EVENT)
    return tree


def test_whole_flows_pass(session: Tree, upload: Tree, background: Tree) -> None:
    """A flow that kept everything has no problem, and every hop of it names the spans that it led to."""
    for tree in (session, upload, background):
        result = tree.check()
        assert result.problems == ()
        assert all(hop.spans and not hop.problem for hop in result.hops)
    assert {span.span_id for span in session.check().hops[6].spans} == {">running", "second worker"}


def test_spans_of_other_libraries_may_stand_between(session: Tree) -> None:
    """What else a component does between a hop's arrival and the next hop breaks nothing."""
    session.add("query", ">create", "manager", "client", {"db.system": "redis"})
    session.add("step", ">create", "manager", "internal", {})
    session.change("kernel>", parent_span_id="step")
    assert session.check().problems == ()


def test_missing_hop_is_named(session: Tree) -> None:
    """A receiver of which nothing arrived is named, and no hop that is well is."""
    session.remove(">socket")
    result = session.check()
    assert [hop.hop.child for hop in result.hops if hop.problem] == ["wsproxy"]
    assert result.problems == (
        "app-proxy -> wsproxy (WebSocket): no SERVER span of wsproxy arrived with this request ID",
    )


def test_hops_behind_a_broken_one_point_to_it(session: Tree) -> None:
    """Where nothing arrived because of an earlier hop, that one is what a reader has to look at."""
    session.remove(">started", "circuit>", ">circuit", "socket>", ">socket", "running>", ">running", "second worker")
    assert session.check().problems == (
        "agent -> manager (event): no CONSUMER span of manager arrived with this request ID",
        "manager -> app-proxy (HTTP): nothing arrived, as an earlier hop is broken: agent -> manager (event)",
        "app-proxy -> wsproxy (WebSocket): nothing arrived, as an earlier hop is broken: manager -> app-proxy (HTTP)",
        "manager -> manager (event): nothing arrived, as an earlier hop is broken: agent -> manager (event)",
    )


def test_missing_hop_beside_one_to_the_same_component(upload: Tree) -> None:
    """The arrival of another hop is not mistaken for a broken arrival of the missing one."""
    upload.remove("grant>", ">grant")
    assert upload.check().problems == (
        "manager -> storage-proxy (HTTP): no SERVER span of storage-proxy arrived with this request ID",
    )


def test_nothing_arrived(session: Tree) -> None:
    """Without any span every hop and every component's log is a problem, and nothing is raised."""
    result = check_flow(session.flow, REQUEST_ID, [], [])
    assert all(hop.problem for hop in result.hops)
    assert len(result.problems) == len(session.flow.hops)


def test_lost_trace_is_named(session: Tree) -> None:
    """A receiver that begins a trace of its own has lost the trace, though it kept the request ID."""
    session.change(">prepare", parent_span_id="", trace_id="another")
    result = session.check()
    assert result.problems == (
        "manager -> legacy-agent (RPC): SERVER span '>prepare' of legacy-agent has lost the trace: "
        "it begins a trace of its own",
    )


def test_missing_parent_is_named(session: Tree) -> None:
    """A span whose parent never arrived is named."""
    session.remove("prepare>")
    assert session.check().problems[0] == (
        "manager -> legacy-agent (RPC): SERVER span '>prepare' of legacy-agent has lost the trace: "
        "its parent span is missing"
    )


def test_wrong_parent_is_named(session: Tree) -> None:
    """A receiver below another span than the sender's has the wrong parent, also within one trace."""
    session.change(">started", parent_span_id=">kernel")
    assert session.check().problems[0] == (
        "agent -> manager (event): CONSUMER span '>started' of manager has the wrong parent: "
        "SERVER span '>kernel' of agent"
    )


def test_wrong_cause_is_named(session: Tree) -> None:
    """A call below another request of the same component has the wrong parent, though the hop itself is well."""
    session.change("circuit>", parent_span_id=">create")
    assert session.check().problems == (
        "manager -> app-proxy (HTTP): CLIENT span 'circuit>' of manager has the wrong parent: "
        "it is below SERVER span '>create' of manager",
    )


def test_beginning_below_another_request_is_named(background: Tree, session: Tree) -> None:
    """Work that nobody asked for must not stand in the trace of a request."""
    background.spans = {**{name: session.spans[name] for name in ("create>", ">create")}, **background.spans}
    background.change("run", parent_span_id=">create", trace_id="trace-of-create>")
    for name in ("sync>", ">sync", "synced>", ">synced"):
        background.change(name, trace_id="trace-of-create>")
    assert background.check().problems[0] == (
        "manager -> agent (RPC): CLIENT span 'sync>' of manager has the wrong parent: "
        "it is below SERVER span '>create' of manager"
    )


@pytest.mark.parametrize(("other", "told"), [("req-2", "the request ID 'req-2'"), (None, "no request ID")])
def test_other_id_is_named(session: Tree, other: str | None, told: str) -> None:
    """A receiver in the right place under another ID, or under none, has lost the request ID."""
    session.change(">circuit", attributes={**HTTP, **({ATTRIBUTE_REQUEST_ID: other} if other else {})})
    assert session.check().problems[0] == (
        "manager -> app-proxy (HTTP): SERVER span '>circuit' of app-proxy has lost the request ID: it carries " + told
    )


def test_other_id_on_any_span_is_named(session: Tree) -> None:
    """The ID has to be on every span of the trace, not on those of the hops alone."""
    session.add("step", ">create", "manager", "internal", {ATTRIBUTE_REQUEST_ID: "req-2"})
    assert session.check().problems == ("INTERNAL span 'step' of manager carries the request ID 'req-2'",)


def test_span_without_service_is_named(session: Tree) -> None:
    """Every span says whose it is."""
    session.add("step", ">create", "", "internal", {})
    session.change("step", resource={})
    assert session.check().problems[0] == "INTERNAL span 'step' of an unnamed service has no service.name"


def test_superfluous_trace_is_named(session: Tree) -> None:
    """A further trace under the same ID means that something was torn off."""
    session.add("step", None, "manager", "internal", {})
    assert session.check().problems == (
        "1 trace expected, 2 found, begun by CLIENT span 'create>' of client, INTERNAL span 'step' of manager",
    )


def test_silent_component_is_named(session: Tree) -> None:
    """Each component of the flow has a log line with the ID."""
    assert session.check(silent="legacy-agent").problems == ("legacy-agent: no log line carries the request ID",)


def test_background_work_says_its_origin(background: Tree) -> None:
    """The root of background work tells who minted its ID."""
    background.change("run", attributes={ATTRIBUTE_REQUEST_ID: REQUEST_ID})
    assert background.check().problems == (
        "INTERNAL span 'run' of manager does not say that background work of manager began it",
    )


def test_circle_of_parents_ends(session: Tree) -> None:
    """Spans that name each other as parent are a problem and no endless loop."""
    session.change("create>", parent_span_id=">create")
    assert session.check().problems
