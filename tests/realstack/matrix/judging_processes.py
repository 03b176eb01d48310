# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Processes: whether ``process.pid`` and ``service.instance.id`` mean the same one, and each worker spoke."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from tests.realstack.matrix.senders import Sender
from tests.realstack.matrix.sentences import some


def process_problems(
    senders: Collection[Sender], workers: Mapping[str, Collection[int]], several: Mapping[str, int]
) -> list[str]:
    """What is wrong with the processes that all spans and log records of a run name.

    Args:
        senders: Who sent anything.
        workers: The worker processes that ran, of each component, as the system knows them.
        several: How many workers a component was given, where it was given more than one.
    """
    return [
        *some(_unnamed(senders)),
        *some(_ambiguous(senders)),
        *some(_silent(senders, workers)),
        *(
            f"{component}: {len(workers.get(component, ()))} worker processes run, {count} were asked for"
            for component, count in several.items()
            if len(workers.get(component, ())) < count
        ),
    ]


def _unnamed(senders: Iterable[Sender]) -> Iterator[str]:
    for sender in senders:
        if sender.pid is None:
            yield f"{sender.component}: a {sender.signal} without process.pid"
        if not sender.instance:
            yield f"{sender.component}: a {sender.signal} without service.instance.id"


def _ambiguous(senders: Iterable[Sender]) -> Iterator[str]:
    """One to one within a service and a host, whichever signal names them."""
    instances: dict[tuple[str, str, int], set[str]] = {}
    pids: dict[tuple[str, str, str], set[int]] = {}
    for one in senders:
        if one.pid is not None and one.instance:
            instances.setdefault((one.component, one.host, one.pid), set()).add(one.instance)
            pids.setdefault((one.component, one.host, one.instance), set()).add(one.pid)
    for (component, _host, pid), names in instances.items():
        if len(names) > 1:
            yield f"{component}: process {pid} has {len(names)} service.instance.id"
    for (component, _host, instance), numbers in pids.items():
        if len(numbers) > 1:
            yield f"{component}: service.instance.id {instance} is that of {len(numbers)} processes"


def _silent(senders: Iterable[Sender], workers: Mapping[str, Collection[int]]) -> Iterator[str]:
    spoke = {(sender.component, sender.pid) for sender in senders if sender.signal == "span"}
    for component, pids in workers.items():
        if not pids:
            yield f"{component}: no worker process runs"
        for pid in sorted(pids):
            if (component, pid) not in spoke:
                yield f"{component}: no span of its worker process {pid}"
