# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Which session, kernel, agent or vfolder a call or an event is about."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from otel_backendai.releases import kernels
from otel_backendai.releases.entities import event_entities, route_entities
from otel_backendai.releases.rpc_entities import POSITIONS, call_entities

SESSION, KERNEL = "7c9e6679-7425-40de-944b-e07fc1f90ae7", "0f8fad5b-d9cb-469f-a165-70867728950e"
FOLDER = "12345678-1234-4678-9234-56781234abcd"
OF_FOLDER = {"backendai.vfolder.id": FOLDER}
HOSTILE = ["", "x" * 129, "two words", "a\nb", "\ud800", b"raw", 5, 1.5, True, None, [], ["a", "b"], {"a": 1}, object()]


@pytest.fixture(autouse=True)
def _no_kernel_is_known() -> Iterator[None]:
    kernels.forget()
    yield
    kernels.forget()


def about(session: str | None = None, kernel: str | None = None, agent: str | None = None) -> dict[str, str]:
    """The attributes that name these."""
    named = {"backendai.session.id": session, "backendai.kernel.id": kernel, "backendai.agent.id": agent}
    return {name: value for name, value in named.items() if value is not None}


@pytest.mark.parametrize(
    ("method", "arguments", "expected"),
    [
        ("create_kernels", [SESSION, [KERNEL], [{}], {}], about(SESSION, KERNEL)),
        ("create_kernels", (SESSION, (KERNEL,)), about(SESSION, KERNEL)),
        ("create_kernels", [SESSION, [KERNEL, SESSION]], about(SESSION)),
        ("destroy_kernel", [KERNEL, SESSION, "user-requested"], about(SESSION, KERNEL)),
        ("destroy_kernel", [KERNEL], about(kernel=KERNEL)),
        ("restart_kernel", [SESSION, KERNEL, {}], about(SESSION, KERNEL)),
        ("execute", [SESSION, KERNEL, 4, "run-1", "query", "print()", {}, 2.0], about(SESSION, KERNEL)),
        ("get_logs", [KERNEL], about(kernel=KERNEL)),
        ("get_logs", [UUID(KERNEL)], about(kernel=KERNEL)),
        ("start_service", [KERNEL, "jupyter", {}], about(kernel=KERNEL)),
        ("sync_kernel_registry", [[(KERNEL, SESSION)]], {}),
        ("assign_port", [], {}),
        ("of_another_release", [KERNEL, SESSION], {}),
    ],
)
def test_position_tells_what_an_argument_is(method: str, arguments: list[Any], expected: dict[str, str]) -> None:
    """By the agent's signatures; of several kernels none, because the attribute would be wrong for the others."""
    assert call_entities(method, arguments, {}) == expected


def test_keywords_tell_by_themselves() -> None:
    """Of any method, as 26.9 names the agent; other keywords are nothing to us."""
    keywords = {"session_id": SESSION, "kernel_id": KERNEL, "agent_id": "i-node1", "image": "python", 5: "x"}
    assert call_entities("of_an_application", (), keywords) == about(SESSION, KERNEL, "i-node1")
    assert call_entities("get_logs", (FOLDER,), {"agent_id": "i-node1"}) == about(kernel=FOLDER, agent="i-node1")


def test_a_kernel_is_of_the_session_that_made_it() -> None:
    """A call that names a kernel alone is about its session, once a call has named both; of several kernels, each."""
    second = "2f1c0a52-2d57-4f7b-a3ab-1c6d9d0d7a11"
    call_entities("create_kernels", [SESSION, [KERNEL, second]], {})
    assert call_entities("get_logs", [KERNEL], {}) == about(SESSION, KERNEL)
    assert call_entities("check_running", [second], {}) == about(SESSION, second)
    assert call_entities("get_logs", [FOLDER], {}) == about(kernel=FOLDER)


def test_an_event_tells_of_a_kernel_too() -> None:
    """What names both is learnt from, and what names a kernel only is completed; hostile IDs are left."""
    named = about(SESSION, KERNEL)
    assert kernels.with_session(named) == named
    assert kernels.with_session(about(kernel=KERNEL)) == named
    kernels.learn(object(), SESSION)
    kernels.learn(FOLDER, None)
    assert kernels.with_session(about(kernel=FOLDER)) == about(kernel=FOLDER)
    assert kernels.with_session({}) == {}


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
@pytest.mark.parametrize("method", sorted(POSITIONS))
def test_hostile_arguments_name_nothing(method: str, value: object) -> None:
    """What is no ID is left out, whatever its type; nothing is cut, and nothing raises."""
    assert call_entities(method, [value, value, value], {"session_id": value, "agent_id": value}) == {}


@dataclass
class Event:
    """The fields of an event of Backend.AI."""

    session_id: object = None
    kernel_id: object = None
    agent_id: object = None
    vfid: object = None


@dataclass
class VFolderID:
    """What Backend.AI's class of that name holds."""

    quota_scope_id: str | None
    folder_id: UUID


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"session_id": SESSION, "kernel_id": UUID(KERNEL)}, about(SESSION, KERNEL)),
        ({"agent_id": "i-node1"}, about(agent="i-node1")),
        ({"vfid": VFolderID("user:a", UUID(FOLDER))}, {"backendai.vfolder.id": FOLDER}),
        ({"vfid": f"user:{SESSION}/{UUID(FOLDER).hex}"}, {"backendai.vfolder.id": FOLDER}),
        ({"vfid": UUID(FOLDER).hex}, {"backendai.vfolder.id": FOLDER}),
        ({"vfid": "user:a/not-a-uuid"}, {"backendai.vfolder.id": "not-a-uuid"}),
        ({}, {}),
    ],
)
def test_fields_of_an_event(fields: dict[str, Any], expected: dict[str, str]) -> None:
    """Of an object and of a mapping alike."""
    assert event_entities(Event(**fields)) == expected
    assert event_entities(fields) == expected


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
def test_hostile_events_name_nothing(value: object) -> None:
    """Neither a hostile field nor a hostile event gives an attribute, and nothing raises."""
    assert event_entities(Event(value, value, value, value)) == {}
    assert event_entities(value) == {}


@pytest.mark.parametrize(
    ("route", "variables", "expected"),
    [
        ("/v2/sessions/{session_id}", {"session_id": SESSION}, about(SESSION)),
        ("/session/{session_name}", {"session_name": SESSION}, about(SESSION)),
        ("/session/{session_name}", {"session_name": "my-session"}, {}),
        ("/session/{session_name}", {"session_name": SESSION + "\n"}, {}),
        ("/folders/{folder_id}/force", {"folder_id": FOLDER}, OF_FOLDER),
        ("/folders/{folder_uuid}", {"folder_uuid": FOLDER}, OF_FOLDER),
        ("/v2/vfolders/{vfolder_id}", {"vfolder_id": FOLDER}, OF_FOLDER),
        ("/folders/{name}", {"name": FOLDER}, OF_FOLDER),
        ("/folders/{name}/request-upload", {"name": FOLDER}, OF_FOLDER),
        ("/folders/{name}/files", {"name": "data"}, {}),
        ("/v2/resource-groups/{name}", {"name": FOLDER}, {}),
        ("/folders/{name}s", {"name": FOLDER}, {}),
        ("/agents/{agent_id}", {"agent_id": "i-agent"}, about(agent="i-agent")),
        ("/kernels/{kernel_id}", {"kernel_id": "two words"}, {}),
        ("/folders", {}, {}),
    ],
)
def test_a_route_names_by_its_variables(route: str, variables: dict[str, str], expected: dict[str, str]) -> None:
    """A variable that may hold a name counts only when it looks like an ID, and where such an ID is a vfolder's."""
    assert route_entities(route, variables) == expected


@pytest.mark.parametrize("spelling", [UUID(FOLDER).hex, FOLDER.upper(), UUID(FOLDER).hex.upper()])
def test_a_uuid_has_one_spelling(spelling: str) -> None:
    """However a path writes an ID, spans have it as all others do: one search finds them all."""
    assert route_entities("/folders/{name}", {"name": spelling}) == OF_FOLDER
    assert route_entities("/v2/vfolders/{vfolder_id}", {"vfolder_id": spelling}) == OF_FOLDER
