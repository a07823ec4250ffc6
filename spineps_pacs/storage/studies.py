"""Which jobs belong to one study: asked again and again, so that nothing has to be remembered."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from spineps_pacs.domain.job import Job
from spineps_pacs.storage.records import _job, _sendings
from spineps_pacs.storage.tables import JOBS


class Studies:
    """Questions over the tables of the records."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine.execution_options(reading=True)

    def several(self) -> Iterator[tuple[Job, ...]]:
        """All jobs of each study of which at least two have results that are still kept."""
        has_results = sa.and_(JOBS.c.erased.is_(False), JOBS.c.results != "[]", JOBS.c.study_uid != "")
        query = sa.select(JOBS.c.study_uid).where(has_results).group_by(JOBS.c.study_uid).having(sa.func.count() > 1)
        with self._engine.begin() as connection:
            uids = [row.study_uid for row in connection.execute(query)]
        for uid in uids:
            yield self._of(uid)

    def _of(self, study_uid: str) -> tuple[Job, ...]:
        query = sa.select(JOBS).where(JOBS.c.study_uid == study_uid).order_by(JOBS.c.created, JOBS.c.id)
        with self._engine.begin() as connection:
            rows = connection.execute(query).all()
            sendings = _sendings(connection, [row.id for row in rows])
            return tuple(_job(row, sendings) for row in rows)
