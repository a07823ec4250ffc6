"""A job before its first stage with everything around it in memory, for tests of the stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from contract.conftest import Clock
from samples import content_of, series_of, stand_in, uid
from twins import DictDatasets, DictRecords, ListDestination, SetConfirmation, StraightChain

from spineps_pacs.delivery.rules import Routing, Rule
from spineps_pacs.domain.audit import Audit, unheard
from spineps_pacs.domain.job import Job, Verdict
from spineps_pacs.domain.ports import Phases, Result
from spineps_pacs.domain.series import Series, fingerprint
from spineps_pacs.workflow.stages import Parts, Patience, Stages
from spineps_pacs.workflow.work import Retries, Work

TAKEN, SKIPPED = Verdict(True, ""), Verdict(False, "not T2 weighted: TE 10 ms")


@dataclass
class Bench:
    """A job of six slices before its first stage, and everything around it."""

    records: DictRecords
    inbox: DictDatasets
    outbox: DictDatasets
    clock: Clock
    ticks: Clock
    a: ListDestination = field(default_factory=lambda: ListDestination("a"))
    b: ListDestination = field(default_factory=lambda: ListDestination("b"))
    verdict: Verdict | Exception = TAKEN
    produce: Callable[[Series, Phases], Sequence[Result]] = stand_in
    rules: tuple[Rule, ...] = (Rule("a"), Rule("b"))
    confirmations: dict[str, SetConfirmation] = field(default_factory=dict)
    shadow: Callable[[Series, Job, Phases], None] | None = None
    audit: Audit = unheard
    told: list[tuple[str, BaseException | None]] = field(default_factory=list)
    patience: Patience = field(default_factory=lambda: Patience(Retries(3, 10), Retries(4, 10), deaths=3))

    def __post_init__(self) -> None:
        slices = series_of("s")
        for ds in slices:
            self.inbox.add(self.key, fingerprint([ds.SOPInstanceUID]) + ".dcm", content_of(ds))
        self.job = Job("j", slices[0].SeriesInstanceUID, slices[0].StudyInstanceUID, self.series().fingerprint)
        self.records.add(self.job)
        self.chain = StraightChain(self.records, lambda work: self.stages().run(work))

    @property
    def key(self) -> str:
        return fingerprint([uid("s", "series")])

    def series(self) -> Series:
        return self.inbox.load(self.key)

    def judge(self, series: Series, source: str) -> Verdict:
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict

    def stages(self) -> Stages:
        parts = Parts(
            self.inbox, self.outbox, self.records, self.judge, self._produce, Routing(self.rules),
            {"a": self.a, "b": self.b}, self.confirmations, self.shadow, self.audit,
        )  # fmt: skip
        return Stages(parts, self.patience, self._tell, self.ticks)

    def _produce(self, series: Series, watch: Phases) -> Sequence[Result]:
        return self.produce(series, watch)

    def _tell(self, text: str, work: Work, error: BaseException | None) -> None:
        self.told.append((text, error))

    def run(self) -> Job:
        """All stages, one after the other."""
        self.chain.enqueue(self.now())
        self.chain.drain()
        return self.now()

    def now(self) -> Job:
        job = self.records.known("j")
        assert job is not None
        return job

    def faults(self) -> list[BaseException]:
        return [error for _, error in self.told if error is not None]
