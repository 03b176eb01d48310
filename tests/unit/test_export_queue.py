# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The exporting thread: real threads, real forks, exporters that fail and hang."""

import inspect
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from otel_backendai.names import SETTING_FLUSH_TIMEOUT
from otel_backendai.sdk import processes
from otel_backendai.sdk.export_queue import ExportQueue
from otel_backendai.sdk.processors import QueueLogRecordProcessor, QueueSpanProcessor, make_queue
from tests.unit.test_resource import in_child


class Exporter:
    """Keeps batches; hangs while ``gate`` is closed."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.is_closed = False
        self.threads: set[str] = set()
        self.enabled: set[bool] = set()
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def export(self, batch: Sequence[Any], /) -> object:
        """Keep ``batch``, when the gate is open (10 s at the most)."""
        self.entered.set()
        self.threads.add(threading.current_thread().name)
        self.enabled.add(is_instrumentation_enabled())
        self.gate.wait(10)
        self.batches.append(list(batch))
        return None

    def shutdown(self) -> None:
        """Remember that."""
        self.is_closed = True

    @property
    def items(self) -> list[Any]:
        """All items, in the order of their arrival."""
        return [item for batch in self.batches for item in batch]


MakeQueue = Callable[..., ExportQueue[Any]]


@pytest.fixture
def exporter() -> Exporter:
    """What the queue exports to."""
    return Exporter()


@pytest.fixture
def make(exporter: Exporter) -> Iterator[MakeQueue]:
    """Makes queues and ends their threads."""
    made: list[ExportQueue[Any]] = []

    def queue(max_size: int = 1_000, max_batch: int = 100, delay: float = 60.0, **more: Any) -> ExportQueue[Any]:
        more.setdefault("make_exporter", lambda: exporter)
        made.append(ExportQueue("test-queue", max_size=max_size, max_batch=max_batch, delay=delay, **more))
        return made[-1]

    yield queue
    exporter.gate.set()
    for each in made:
        each.suspend(2)


def until(condition: Callable[[], bool]) -> None:
    """Wait until it is so, 5 s at the most."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def threads() -> list[threading.Thread]:
    """The queue's threads that are alive."""
    return [thread for thread in threading.enumerate() if thread.name == "test-queue"]


def test_nothing_exists_before_the_first_item(make: MakeQueue) -> None:
    """Neither thread nor exporter, and nothing to flush."""
    built: list[int] = []
    queue = make(make_exporter=lambda: built.append(1))
    assert queue.flush(0) is True
    assert not threads()
    assert not built


def test_order_and_batches(make: MakeQueue, exporter: Exporter) -> None:
    """Every item once, in order, in batches of the given size at the most, from one thread of that name."""
    queue = make()
    for number in range(950):
        queue.put(number)
    assert queue.flush(5)
    assert exporter.items == list(range(950))
    assert max(map(len, exporter.batches)) <= 100
    assert exporter.threads == {"test-queue"}
    assert len(threads()) == 1


def test_a_full_batch_does_not_wait_for_the_delay(make: MakeQueue, exporter: Exporter) -> None:
    """The delay is for batches that are not full."""
    queue = make(max_batch=10)
    for number in range(10):
        queue.put(number)
    until(lambda: exporter.items == list(range(10)))


def test_a_batch_of_one_is_full_with_the_first_item(make: MakeQueue, exporter: Exporter) -> None:
    """The same for the item that starts the thread."""
    make(max_batch=1).put("x")
    until(lambda: exporter.items == ["x"])


def test_a_part_of_a_batch_goes_out_after_the_delay(make: MakeQueue, exporter: Exporter) -> None:
    """Without any flush."""
    make(delay=0.05).put("x")
    until(lambda: exporter.items == ["x"])


def test_the_newest_are_kept(make: MakeQueue, exporter: Exporter) -> None:
    """Bounded: behind an exporter that hangs the oldest are dropped, `put` never blocks."""
    exporter.gate.clear()
    queue = make(max_size=50, max_batch=10)
    for number in range(10):
        queue.put(number)
    assert exporter.entered.wait(5)
    for number in range(10, 5_000):
        queue.put(number)
    assert len(queue._items) <= 50
    exporter.gate.set()
    assert queue.flush(5)
    assert exporter.items == [*range(10), *range(4_950, 5_000)]


@pytest.mark.parametrize(("max_size", "max_batch"), [(0, 0), (1, 1_000), (5, 0), (3, -1)])
def test_odd_sizes(max_size: int, max_batch: int, make: MakeQueue, exporter: Exporter) -> None:
    """An operator's zero makes no queue that drops everything or never ends."""
    queue = make(max_size=max_size, max_batch=max_batch)
    queue.put("x")
    assert queue.flush(5)
    assert exporter.items == ["x"]


def test_many_threads(make: MakeQueue, exporter: Exporter) -> None:
    """Items of eight threads, none lost, none twice, while somebody flushes."""
    queue = make(max_size=100_000, max_batch=64)

    def produce(start: int) -> None:
        for number in range(start, start + 2_000):
            queue.put(number)

    producers = [threading.Thread(target=produce, args=(start,)) for start in range(0, 16_000, 2_000)]
    for producer in producers:
        producer.start()
    queue.flush(5)
    for producer in producers:
        producer.join()
    assert queue.flush(10)
    assert sorted(exporter.items) == list(range(16_000))


def test_a_flush_keeps_its_budget(make: MakeQueue, exporter: Exporter) -> None:
    """A Collector that hangs costs the caller the given time, and the answer is no."""
    exporter.gate.clear()
    queue = make()
    queue.put("x")
    started = time.monotonic()
    assert queue.flush(0.3) is False
    assert queue.flush(0) is False
    # A bound and no measurement: the gate alone would take ten seconds.
    assert time.monotonic() - started < 3
    exporter.gate.set()
    assert queue.flush(5) is True
    assert exporter.items == ["x"]


def test_suspending_keeps_its_budget(make: MakeQueue, exporter: Exporter) -> None:
    """`timeout` is what suspending takes at the most, all of its steps together."""
    exporter.gate.clear()
    queue = make()
    queue.put("x")
    started = time.monotonic()
    queue.suspend(1.0)
    assert time.monotonic() - started < 1.6


def test_suspended_there_is_no_thread(make: MakeQueue, exporter: Exporter) -> None:
    """What was queued is sent, the thread ends; what comes then is kept and sent by the next flush."""
    queue = make()
    queue.put("before")
    queue.suspend(5)
    assert exporter.items == ["before"]
    assert not threads()
    for number in range(150):
        queue.put(number)
    assert not threads()
    assert exporter.items == ["before"]
    assert queue.flush(5)
    assert exporter.items == ["before", *range(150)]
    queue.put("after")
    assert queue.flush(5)
    assert exporter.items[-1] == "after"
    queue.suspend(5)
    queue.suspend(5)
    assert not threads()


def test_resumed_behind_a_thread_that_hung(make: MakeQueue, exporter: Exporter) -> None:
    """Suspended while the exporter hangs, then resumed: two threads for a moment, every item once."""
    exporter.gate.clear()
    queue = make(max_batch=1, max_size=10_000, delay=0.01)
    queue.put(0)
    assert exporter.entered.wait(5)
    queue.suspend(0.05)
    for number in range(1, 500):
        queue.put(number)
    queue.flush(0)
    exporter.gate.set()
    assert queue.flush(5)
    until(lambda: len(threads()) <= 1)
    assert sorted(exporter.items) == list(range(500))


@pytest.mark.usefixtures("lenient")
def test_an_exporter_that_raises_is_asked_again(make: MakeQueue) -> None:
    """An exception costs its batch and nothing else."""
    good = Exporter()

    class Failing(Exporter):
        def export(self, batch: Sequence[Any], /) -> object:
            if batch[0] < 3:
                raise ConnectionError(batch)
            return good.export(batch)

    failing = Failing()
    queue = make(max_batch=1, make_exporter=lambda: failing)
    for number in range(6):
        queue.put(number)
    assert queue.flush(5)
    assert good.items == [3, 4, 5]
    assert len(threads()) == 1


@pytest.mark.usefixtures("lenient")
def test_an_exporter_that_cannot_be_made_is_tried_again(make: MakeQueue) -> None:
    """A missing certificate at start-up is there a minute later; the application notices nothing."""
    good, attempts = Exporter(), []

    def build() -> Exporter:
        attempts.append(1)
        if len(attempts) < 3:
            raise OSError("no certificate")
        return good

    queue = make(max_batch=1, make_exporter=build)
    for number in range(5):
        queue.put(number)
    assert queue.flush(5)
    assert good.items == [2, 3, 4]
    assert len(attempts) == 3


def test_the_export_itself_is_not_traced(make: MakeQueue, exporter: Exporter) -> None:
    """Instrumentation is suppressed in the thread, for the building of the exporter too, and only there."""
    during: list[bool] = []

    def build() -> Exporter:
        during.append(is_instrumentation_enabled())
        return exporter

    queue = make(make_exporter=build)
    queue.put("x")
    assert queue.flush(5)
    assert during == [False]
    assert exporter.enabled == {False}
    assert is_instrumentation_enabled()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("state", ["running", "suspended", "hanging"])
def test_a_child_sends_nothing_of_its_parent(state: str, make: MakeQueue, exporter: Exporter) -> None:
    """After a fork: an exporter and a thread of the child's own, the child's items once; the parent's stay its own."""
    built: list[Exporter] = []

    def build() -> Exporter:
        built.append(exporter if not built else Exporter())
        return built[-1]

    queue = make(make_exporter=build)
    queue.put("parent, sent")
    assert queue.flush(5)
    if state == "suspended":
        queue.suspend(5)
    if state == "hanging":
        exporter.gate.clear()
        queue.put("hanging")
        queue.flush(0)
    queue.put("parent, queued")

    def child() -> list[Any]:
        assert queue.flush(0.2) is True, "there is nothing of the child's yet"
        queue.put("child")
        assert queue.flush(5)
        assert len(built) == 2
        return [built[1].items, exporter.items, len(threads())]

    mine, of_parent, running = in_child(child)
    assert mine == ["child"]
    assert of_parent == ["parent, sent"]
    assert running == 1
    exporter.gate.set()
    assert queue.flush(5)
    sent = [item for each in built for item in each.items]
    assert sent == ["parent, sent", *(["hanging"] if state == "hanging" else []), "parent, queued"]
    # A suspended queue has closed its exporter, so that a child inherits no connection of it.
    assert [each.is_closed for each in built] == ([True, False] if state == "suspended" else [False])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forks_of_forks(make: MakeQueue) -> None:
    """The forkserver's child is a fork of a fork: each process sends its own."""

    class Piped(Exporter):
        def __init__(self) -> None:
            super().__init__()
            self.pid = os.getpid()

    built: list[Piped] = []

    def build() -> Exporter:
        built.append(Piped())
        return built[-1]

    queue = make(make_exporter=build)
    queue.put("parent")

    def run(name: str) -> list[Any]:
        queue.put(name)
        assert queue.flush(5)
        return [item for made in built if made.pid == os.getpid() for item in made.items]

    def child() -> list[Any]:
        own = run("child")
        return [own, in_child(lambda: run("grandchild"))]

    assert in_child(child) == [["child"], ["grandchild"]]
    assert queue.flush(5)


def test_the_settings_of_the_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    """`OTEL_BSP_*` and `OTEL_BLRP_*`; a text that is no positive number gives the default."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "250")
    queue = make_queue("OTEL_BSP", "q", Exporter, 5_000)
    assert (queue._max_size, queue._max_batch, queue._delay) == (10, 5, 0.25)
    for hostile in ("", "x", "-1", "0", "nan"):
        for name in ("MAX_QUEUE_SIZE", "MAX_EXPORT_BATCH_SIZE", "SCHEDULE_DELAY"):
            monkeypatch.setenv(f"OTEL_BLRP_{name}", hostile)
        queue = make_queue("OTEL_BLRP", "q", Exporter, 1_000)
        assert (queue._max_size, queue._max_batch, queue._delay) == (2_048, 512, 1.0)


@pytest.mark.parametrize("hostile", ["inf", "1e400"])
def test_a_setting_without_an_end(hostile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded: infinity is no size of a queue; it stops no process either."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", hostile)
    assert make_queue("OTEL_BSP", "q", Exporter, 5_000)._max_size == 2_048


def test_sampled_spans_are_queued_at_their_end(make: MakeQueue, exporter: Exporter) -> None:
    """Ended and sampled spans, nothing else; shutdown sends them."""
    queue = make()
    for sampler in (ALWAYS_ON, ALWAYS_OFF):
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        provider.add_span_processor(QueueSpanProcessor(queue))
        tracer = provider.get_tracer("t")
        tracer.start_span(sampler.get_description()).end()
        tracer.start_span("never ended")
        provider.shutdown()
    assert [span.name for span in exporter.items] == [ALWAYS_ON.get_description()]


@pytest.mark.parametrize(
    ("theirs", "own"), [(SpanProcessor, QueueSpanProcessor), (LogRecordProcessor, QueueLogRecordProcessor)]
)
def test_the_interfaces_are_those_of_the_sdk(theirs: type, own: type) -> None:
    """Drift: every method that a processor has to have is there, under the names of this train."""
    abstract = getattr(theirs, "__abstractmethods__", None) or {"on_start", "on_end", "shutdown", "force_flush"}
    assert abstract <= set(vars(own))
    for name in abstract:
        assert len(inspect.signature(getattr(own, name)).parameters) == len(
            inspect.signature(getattr(theirs, name)).parameters
        )


def test_children_answer_in_json() -> None:
    """What the fork tests rely on: a child's answer comes back whole."""
    assert in_child(lambda: ["x", {"y": 1}]) == json.loads('["x", {"y": 1}]')


def test_held_until_it_knows_where_to_send(make: MakeQueue, exporter: Exporter) -> None:
    """A process that may yet learn its target collects; `use` sends all of it there, and nothing elsewhere."""
    wrong = Exporter()
    queue = make(make_exporter=lambda: wrong, delay=0.01)
    queue.hold(60)
    queue.put(1)
    time.sleep(0.1)
    assert wrong.items == []
    queue.use(lambda: exporter)
    until(lambda: exporter.items == [1])
    assert wrong.items == []


@pytest.mark.parametrize("end", ["flush", "time"])
def test_held_no_longer_than_that(end: str, make: MakeQueue, exporter: Exporter) -> None:
    """The end of the time, or of the process, sends to the target that there is."""
    queue = make(delay=0.01)
    queue.hold(60 if end == "flush" else 0.05)
    queue.put(1)
    if end == "flush":
        assert queue.flush(5)
    until(lambda: exporter.items == [1])


def test_another_target_while_running(make: MakeQueue, exporter: Exporter) -> None:
    """What is queued from then on goes to the new one, and the old one is not closed under a running export."""
    first = Exporter()
    queue = make(make_exporter=lambda: first)
    queue.put(1)
    assert queue.flush(5)
    queue.use(lambda: exporter)
    queue.put(2)
    assert queue.flush(5)
    assert (first.items, exporter.items) == ([1], [2])


def test_what_was_dropped_is_reported(make: MakeQueue, exporter: Exporter, caplog: pytest.LogCaptureFixture) -> None:
    """Once in a while, with how much it was, from the exporting thread."""
    queue = make(max_size=10, max_batch=10)
    exporter.gate.clear()
    queue.put(0)
    queue.flush(0)
    until(exporter.entered.is_set)
    for number in range(25):
        queue.put(number)
    assert not caplog.records
    exporter.gate.set()
    assert queue.flush(5)
    assert [record.getMessage() for record in caplog.records] == [
        "cannot export to the receiver: more than the queue of 10 can take (queue lost: 15)"
    ]


def test_what_is_dropped_all_the_time_is_reported(make: MakeQueue, caplog: pytest.LogCaptureFixture) -> None:
    """While more arrives than is sent the queue is never empty; that is when somebody wants to know."""
    sent: list[int] = []

    class Outrun(Exporter):
        def export(self, batch: Sequence[Any], /) -> object:
            sent.append(len(batch))
            for number in range(20 if len(sent) < 50 and not caplog.records else 0):
                queue.put(number)
            return None

    queue = make(max_size=10, max_batch=10, make_exporter=Outrun)
    queue.put(0)
    assert queue.flush(5)
    assert [record.getMessage() for record in caplog.records] == [
        "cannot export to the receiver: more than the queue of 10 can take (queue lost: 10)"
    ]
    assert sent == [1, 10]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_reports_what_it_lost_itself(make: MakeQueue, caplog: pytest.LogCaptureFixture, lenient: None) -> None:
    """At once, although its parent has just reported its own loss, and without that."""

    class Raising(Exporter):
        def export(self, batch: Sequence[Any], /) -> object:
            raise OSError

    queue = make(make_exporter=Raising)

    def lose() -> list[Any]:
        caplog.clear()
        for _ in range(2):
            queue.put("x")
            queue.flush(5)
        return [record.getMessage() for record in caplog.records]

    report = ["cannot export to the receiver: OSError (queue lost: 1)"]
    assert lose() == report
    assert in_child(lose) == report


def test_an_exporter_that_raises_is_reported(make: MakeQueue, caplog: pytest.LogCaptureFixture, lenient: None) -> None:
    """An exporter of somebody else may raise for every batch: one line says that nothing arrives."""

    class Raising(Exporter):
        def export(self, batch: Sequence[Any], /) -> object:
            raise AttributeError("to_json")

    queue = make(make_exporter=Raising)
    for _ in range(3):
        queue.put("x")
        assert queue.flush(5)
    assert [record.getMessage() for record in caplog.records] == [
        "cannot export to the receiver: AttributeError (queue lost: 1)"
    ]


def test_after_a_flush_a_suspended_queue_sends_again(make: MakeQueue, exporter: Exporter) -> None:
    """Also when there was nothing to flush: what a parent makes after its workers have ended would stay for ever."""
    queue = make(delay=0.01)
    queue.put("before")
    queue.suspend(5)
    assert queue.flush(5)
    queue.put("after")
    until(lambda: exporter.items == ["before", "after"])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_threads_of_a_child_lose_nothing(make: MakeQueue) -> None:
    """Several of them may be the first to queue something."""
    exporters: list[Exporter] = []

    def build() -> Exporter:
        exporters.append(Exporter())
        return exporters[-1]

    queue = make(max_size=100_000, max_batch=1_000, make_exporter=build)
    queue.put("parent")

    def child() -> list[Any]:
        sys.setswitchinterval(1e-5)
        began = threading.Barrier(8)

        def some() -> None:
            began.wait(10)
            for number in range(500):
                queue.put(number)

        writers = [threading.Thread(target=some) for _ in range(8)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join(10)
        queue.flush(10)
        return [sum(len(each.items) for each in exporters)]

    for _ in range(5):
        assert in_child(child) == [4_000]


def test_a_receiver_that_hangs_takes_no_time_of_the_others(
    make: MakeQueue, exporter: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The budget of the last flush is for all signals together, at once."""
    healthy = Exporter()
    queues = [make(), make(make_exporter=lambda: healthy)]
    monkeypatch.setattr(processes, "_queues", queues)
    monkeypatch.setenv(SETTING_FLUSH_TIMEOUT, "0.5")
    exporter.gate.clear()
    for queue in queues:
        queue.put("x")
    processes.flush_all()
    assert healthy.items == ["x"]
