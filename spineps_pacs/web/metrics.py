"""The numbers for Prometheus, counted anew at each scrape; no label holds a UID or anything of a patient."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from spineps_pacs.domain.job import State
from spineps_pacs.web.board import Board, Health, Tally

ON_THE_WAY = (State.ARRIVING, State.WAITING, State.ANALYSING, State.ANALYSED, State.DELIVERING)
_P = "spineps_pacs_"


class NodeNumbers(Collector):
    """Turns what the board counts into metrics."""

    def __init__(self, board: Board, clock: Callable[[], float]) -> None:
        self._board = board
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """All families."""
        tally, health = self._board.tally(), self._board.health()
        yield from self._queue(tally)
        yield from _work(tally)
        yield from _machine(health)
        yield from _gpus(health)

    def _queue(self, tally: Tally) -> Iterator[Metric]:
        jobs = GaugeMetricFamily(f"{_P}jobs", "Series by state.", labels=["state"])
        age = GaugeMetricFamily(f"{_P}oldest_seconds", "Age of the oldest series in a state.", labels=["state"])
        for state in State:
            jobs.add_metric([state.value], tally.states.get(state, 0))
        for state in ON_THE_WAY:
            since = tally.oldest.get(state)
            age.add_metric([state.value], 0.0 if since is None else max(0.0, self._clock() - since))
        yield from (jobs, age)


def exposition(board: Board, clock: Callable[[], float]) -> bytes:
    """What is answered to a scrape."""
    registry = CollectorRegistry()
    registry.register(NodeNumbers(board, clock))
    return bytes(generate_latest(registry))


def _work(tally: Tally) -> Iterator[Metric]:
    sent = GaugeMetricFamily(f"{_P}deliveries", "Deliveries by state.", labels=["destination", "state"])
    for (destination, state), count in sorted(tally.sendings.items()):
        sent.add_metric([destination, state.value], count)
    verdicts = GaugeMetricFamily(f"{_P}verdicts", "Verdicts: taken, or the first rule that failed.", labels=["rule"])
    for rule, count in sorted(tally.verdicts.items()):
        verdicts.add_metric([rule], count)
    total = GaugeMetricFamily(f"{_P}phase_seconds_sum", "Seconds spent in a phase.", labels=["phase"])
    times = GaugeMetricFamily(f"{_P}phase_seconds_count", "How often a phase was run.", labels=["phase"])
    for phase, (count, seconds) in sorted(tally.phases_s.items()):
        total.add_metric([phase], seconds)
        times.add_metric([phase], count)
    second = GaugeMetricFamily(
        f"{_P}second_opinions", "Series by the second labeller's verdict.", labels=["verdict", "flagged"]
    )
    for (verdict, flagged), count in sorted(tally.opinions.items()):
        second.add_metric([verdict, str(flagged).lower()], count)
    refused = CounterMetricFamily(f"{_P}refusals", "Turned away at the DICOM port since the start.", labels=["kind"])
    for kind, count in sorted(tally.refusals.items()):
        refused.add_metric([kind], count)
    yield from (sent, verdicts, total, times, second, refused)


def _machine(health: Health) -> Iterator[Metric]:
    yield GaugeMetricFamily(f"{_P}disk_free_bytes", "Free space under the data folder.", health.free_bytes)
    yield GaugeMetricFamily(f"{_P}disk_total_bytes", "Size of the disk under the data folder.", health.total_bytes)
    up = GaugeMetricFamily(f"{_P}peer_up", "Whether a destination answered when last asked.", labels=["destination"])
    for peer in health.peers:
        if peer.good is not None:
            up.add_metric([peer.name], float(peer.good))
    well = GaugeMetricFamily(f"{_P}healthy", "Whether a line of the health page is well.", labels=["fact"])
    for fact in health.facts:
        well.add_metric([fact.name], float(fact.good))
    yield from (up, well)


def _gpus(health: Health) -> Iterator[Metric]:
    """Nothing where there is none; what a card does not tell is left out."""
    families = {
        "used_bytes": GaugeMetricFamily(f"{_P}gpu_memory_used_bytes", "Memory of a GPU in use.", labels=["gpu"]),
        "total_bytes": GaugeMetricFamily(f"{_P}gpu_memory_total_bytes", "Memory of a GPU.", labels=["gpu"]),
        "busy": GaugeMetricFamily(f"{_P}gpu_utilisation", "Part of the time in which a GPU computes.", labels=["gpu"]),
    }
    for gpu in health.gpus:
        for name, family in families.items():
            value = getattr(gpu, name)
            if value is not None:
                family.add_metric([gpu.number], value)
    yield from families.values()
