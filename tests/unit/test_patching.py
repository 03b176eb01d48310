# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Patches wait for their target, come once, and go again."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from opentelemetry import propagate

from otel_backendai.hops import background, contrib_server, events, http_client, http_server, logs, rpc
from otel_backendai.patching import Hop
from otel_backendai.releases import own_tracing
from otel_backendai.sdk import log_bridge, processes
from tests.unit.conftest import output_of

SOURCE = """
def greet(name):
    return "hello " + name

class Base:
    def inherited(self):
        return "base"

class Door(Base):
    def open(self):
        return "open"

    class Lock:
        def turn(self):
            return "turned"
"""

HOPS: tuple[Hop, ...] = (
    http_server.HOP,
    http_client.HOP,
    rpc.HOP,
    events.HOP,
    background.HOP,
    logs.HOP,
    log_bridge.HOP,
    processes.HOP,
    own_tracing.HOP,
)


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module that can be imported and is not yet."""
    name = f"target_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    (tmp_path / f"{name}_alias.py").write_text(f"from {name} import *\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    for loaded in (name, f"{name}_alias"):
        sys.modules.pop(loaded, None)


def load(name: str) -> Any:
    """Import a module by name."""
    return importlib.import_module(name)


def marking(hop: Hop, mark: str = "!") -> Callable[[Callable[..., str]], Callable[..., str]]:
    """A wrapper that adds a mark to what a function returns while the hop is active."""

    def wrap(original: Callable[..., str]) -> Callable[..., str]:
        def wrapped(*args: Any, **kwargs: Any) -> str:
            return original(*args, **kwargs) + (mark if hop.active else "")

        return wrapped

    return wrap


def hop_on(target: str, *paths: str) -> Hop:
    """A hop that marks ``paths`` of ``target``."""
    hop = Hop("test")
    for path in paths or ("greet",):
        hop.wraps(target, path)(marking(hop))
    return hop


def test_an_imported_module_is_patched_at_once(target: str) -> None:
    """Activation in a running process."""
    module = load(target)
    original = module.greet
    hop = hop_on(target)
    hop.install()
    assert module.greet("x") == "hello x!"
    hop.uninstall()
    assert module.greet is original


def test_a_module_is_patched_when_it_is_imported(target: str) -> None:
    """Activation imports nothing of the target."""
    hop = hop_on(target)
    hop.install()
    assert target not in sys.modules
    module = load(target)
    assert module.greet("x") == "hello x!"
    hop.uninstall()
    assert module.greet("x") == "hello x"
    assert module.greet.__module__ == target


def test_installing_twice_changes_nothing(target: str) -> None:
    """Two loaders, one patch."""
    hop = hop_on(target)
    hop.install()
    hop.install()
    module = load(target)
    hop.install()
    assert module.greet("x") == "hello x!"
    hop.uninstall()
    hop.uninstall()
    assert module.greet("x") == "hello x"


def test_uninstalled_before_the_import(target: str) -> None:
    """A hop that is off patches nothing any more; on again, it does, once."""
    hop = hop_on(target)
    hop.install()
    hop.uninstall()
    module = load(target)
    assert module.greet("x") == "hello x"
    hop.install()
    assert module.greet("x") == "hello x!"
    hop.uninstall()
    assert module.greet("x") == "hello x"


def test_off_and_on_before_the_import(target: str) -> None:
    """Two import hooks of one hop do not patch twice."""
    hop = hop_on(target)
    for _ in range(3):
        hop.install()
        hop.uninstall()
    hop.install()
    module = load(target)
    assert module.greet("x") == "hello x!"
    hop.uninstall()


def test_on_and_off_again_and_again(target: str) -> None:
    """The original object is back each time."""
    module = load(target)
    original = module.greet
    hop = hop_on(target)
    for _ in range(3):
        hop.install()
        assert module.greet("x") == "hello x!"
        hop.uninstall()
        assert module.greet is original


@pytest.mark.parametrize("first", ["alias imported first", "patched first"])
def test_an_alias_is_patched_once_and_restored(target: str, first: str) -> None:
    """`from .timer import *`: both names are wrapped, no call is wrapped twice, both originals come back."""
    hop = hop_on(target)
    hop.wraps(f"{target}_alias", "greet")(marking(hop))
    if first == "patched first":
        hop.install()
    module, alias = load(target), load(f"{target}_alias")
    hop.install()
    assert module.greet("x") == alias.greet("x") == "hello x!"
    hop.uninstall()
    assert module.greet is alias.greet
    assert module.greet("x") == "hello x"
    assert module.greet.__name__ == "greet"


def test_methods_nested_classes_and_inherited_methods(target: str) -> None:
    """A dotted path; an inherited method is patched on the subclass only, and leaves no trace there."""
    hop = hop_on(target, "Door.open", "Door.Lock.turn", "Door.inherited")
    hop.install()
    module = load(target)
    door = module.Door()
    assert (door.open(), module.Door.Lock().turn(), door.inherited()) == ("open!", "turned!", "base!")
    assert module.Base().inherited() == "base"
    hop.uninstall()
    assert (door.open(), module.Door.Lock().turn(), door.inherited()) == ("open", "turned", "base")
    assert "inherited" not in vars(module.Door)


def test_missing_targets_are_left_out(target: str) -> None:
    """A release without the function: the others of the hop are patched."""
    hop = hop_on(target, "no_such", "Door.no_such", "NoSuch.open", "greet.no.such", "greet")
    hop.wraps("no_such_module_anywhere", "x")(marking(hop))
    hop.install()
    module = load(target)
    assert module.greet("x") == "hello x!"
    assert not hasattr(module, "no_such")
    hop.uninstall()
    assert module.greet("x") == "hello x"


@pytest.mark.usefixtures("lenient")
def test_a_wrapper_that_cannot_be_made_costs_only_itself(target: str) -> None:
    """Rule 1: a factory that raises leaves its target as it is; the import of the module goes on."""
    hop = Hop("test")

    def broken(original: object) -> object:
        raise RuntimeError("factory")

    hop.wraps(target, "Door.open")(broken)
    hop.wraps(target, "greet")(marking(hop))
    hop.install()
    module = load(target)
    assert module.greet("x") == "hello x!"
    assert module.Door().open() == "open"
    hop.uninstall()
    assert module.greet("x") == "hello x"


def test_a_foreign_wrapper_on_top_is_not_taken_out(target: str) -> None:
    """What another library wrapped around ours stays; ours below it only passes on."""
    module = load(target)
    hop = hop_on(target)
    hop.install()
    ours = module.greet

    def foreign(name: str) -> str:
        return f"[{ours(name)}]"

    module.greet = foreign
    assert module.greet("x") == "[hello x!]"
    hop.uninstall()
    assert module.greet is foreign
    assert module.greet("x") == "[hello x]"


def test_on_again_below_a_foreign_wrapper_there_is_still_one(target: str) -> None:
    """One span per operation: the replacement that could not be taken out works again, and no second one is added."""
    module = load(target)
    hop = hop_on(target)
    hop.install()
    ours = module.greet
    module.greet = lambda name: f"[{ours(name)}]"
    hop.uninstall()
    hop.install()
    assert module.greet("x").count("!") == 1
    hop.uninstall()
    assert module.greet("x") == "[hello x]"


def test_a_foreign_wrapper_that_was_taken_out_leaves_the_original(target: str) -> None:
    """The other library unwraps after us: what it puts back only passes on."""
    module = load(target)
    hop = hop_on(target)
    hop.install()
    ours = module.greet
    module.greet = lambda name: f"[{ours(name)}]"
    hop.uninstall()
    module.greet = ours
    assert module.greet("x") == "hello x"
    hop.install()
    assert module.greet("x") == "hello x!"
    hop.uninstall()
    assert module.greet("x") == "hello x"


def test_a_reference_that_was_kept_passes_on(target: str) -> None:
    """`from module import greet` while the hop was on outlives it."""
    hop = hop_on(target)
    hop.install()
    kept = load(target).greet
    hop.uninstall()
    assert kept("x") == "hello x"


def test_two_hops_on_one_target(target: str) -> None:
    """They stack, and the original is back when both are off, last on first off."""
    module = load(target)
    original = module.greet
    one, two = hop_on(target), Hop("other")
    two.wraps(target, "greet")(marking(two, "?"))
    one.install()
    two.install()
    assert module.greet("x") == "hello x!?"
    two.uninstall()
    assert module.greet("x") == "hello x!"
    one.uninstall()
    assert module.greet is original


def targets_of(hop: Hop) -> list[tuple[str, str]]:
    """What a hop wraps in libraries, as module and path; Backend.AI's own modules are there in tests/releases."""
    return [(target.module, target.path) for target in hop._targets if not target.module.startswith("ai.backend.")]


def standing(module: str, path: str) -> tuple[ModuleType | type, str, object]:
    """Owner, name, and what the owner itself holds under it (``None`` when it inherits or lacks it)."""
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    return owner, name, vars(owner).get(name)


@pytest.mark.parametrize("hop", HOPS, ids=lambda hop: str(hop.name))
def test_every_hop_restores_every_original(hop: Hop) -> None:
    """After `uninstall()` every patched attribute is the original object; every target exists in these versions."""
    assert not hop.active
    before = [standing(*target) for target in targets_of(hop)]
    propagator = propagate.get_global_textmap()
    for _ in range(2):
        hop.install()
        assert [vars(owner).get(name) is not original for owner, name, original in before] == [True] * len(before)
        hop.uninstall()
        assert [vars(owner).get(name) is original for owner, name, original in before] == [True] * len(before)
        assert propagate.get_global_textmap() is propagator


def test_no_hop_declares_a_target_twice() -> None:
    """A hop wraps a target once: of two declarations the second would be left out without a word."""
    code = """
from collections import Counter
from otel_backendai import instrumentors
for kind in instrumentors.BY_NAME.values():
    declared = Counter((target.module, target.path) for target in kind().hop._targets)
    print(kind.__name__, bool(declared), [target for target, times in declared.items() if times > 1])
"""
    lines = output_of(code).splitlines()
    assert lines
    assert [line for line in lines if not line.endswith(" True []")] == []


def test_the_guard_of_contribs_middleware_restores_it() -> None:
    """The same for what stands before contrib's HTTP server instrumentor."""
    module = importlib.import_module(contrib_server.MODULE)
    method, excluded = module.AioHttpServerInstrumentor._instrument, module._excluded_urls
    for _ in range(2):
        contrib_server.GUARDING.install()
        contrib_server.GUARDING.install()
        assert module._excluded_urls is not excluded
        contrib_server.GUARDING.uninstall()
        assert module.AioHttpServerInstrumentor._instrument is method
        assert module._excluded_urls is excluded


def test_targets_imported_after_activation_are_restored_too() -> None:
    """In a fresh process: all hops on, nothing imported by that; the libraries imported; off; everything original."""
    code = """
import importlib, sys
from otel_backendai import instrumentors
from otel_backendai.sdk import log_bridge, processes
hops = [kind().hop for kind in instrumentors.BY_NAME.values()] + [log_bridge.HOP, processes.HOP]
for hop in hops:
    hop.install()
loaded = {"callosum", "aiotools", "redis"} & set(sys.modules)
assert not loaded, loaded
targets = [target for hop in hops for target in hop._targets if not target.module.startswith("ai.backend.")]
for target in targets:
    importlib.import_module(target.module)
patched = [applied for hop in hops for applied in hop._applied]
names = {(getattr(a.owner, "__name__", ""), a.name) for a in patched}
assert len(patched) == len(targets), names
for applied in patched:
    assert vars(applied.owner)[applied.name] is applied.replacement
for hop in reversed(hops):
    hop.uninstall()
for applied in patched:
    now = vars(applied.owner).get(applied.name)
    module = getattr(now, "__module__", None)
    assert now is applied.original or now is None, applied
    assert not str(module).startswith("otel_backendai"), (applied, module)
print("restored", len(patched))
"""
    assert output_of(code).startswith("restored")


class Shapes:
    """What a target may hold under a name."""

    @classmethod
    def of_class(cls, value: str) -> tuple[type, str]:
        """Answer the class that it was called on."""
        return cls, value

    @staticmethod
    def of_nobody(value: str) -> str:
        """Answer the argument."""
        return value


class Below(Shapes):
    """Inherits both."""


@pytest.mark.parametrize("owner", [Shapes, Below])
def test_class_methods_and_static_methods_stay_what_they_are(owner: type[Shapes]) -> None:
    """The wrapper gets the plain function and sees the class that was asked; what was there before comes back."""
    hop = Hop("shapes")
    seen: list[object] = []

    @hop.wraps(__name__, f"{owner.__name__}.of_class")
    @hop.wraps(__name__, f"{owner.__name__}.of_nobody")
    def wrap(original: Any) -> Any:
        def replacement(*args: Any) -> Any:
            seen.append(args)
            return original(*args)

        return replacement

    before = dict(vars(owner))
    hop.install()
    assert owner.of_class("a") == (owner, "a")
    assert owner().of_class("b") == (owner, "b")
    assert owner.of_nobody("c") == owner().of_nobody("c") == "c"
    assert seen == [(owner, "a"), (owner, "b"), ("c",), ("c",)]
    hop.uninstall()
    assert {name: vars(owner).get(name) for name in before} == before
    assert set(vars(owner)) == set(before)
