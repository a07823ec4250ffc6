"""A rejection note (IHE IOCM): tells an archive to hide results that turned out to be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument

from spineps_pacs.domain.ports import Result
from spineps_pacs.encode.concepts import REJECTED, concept, plain
from spineps_pacs.encode.identity import Identity, digest_of
from spineps_pacs.encode.on_results import Paper, finish, header_of, stub
from spineps_pacs.encode.options import KINDS, Options


def rejection(results: Sequence[Result], options: Options, created: datetime, reason: str = "") -> Result:
    """A key object selection "Rejected for Quality Reasons" that names these results, which are of one study."""
    rejected = [header_of(result) for result in results]
    identity = Identity(
        digest_of("rejection", created.isoformat(), reason, repr(options), *(r.sop_instance_uid for r in results)),
        "",
        created,
        options.uid_root,
    )
    stubs = [stub(dataset) for dataset in rejected]
    dataset = KeyObjectSelectionDocument(
        evidence=stubs,
        content=KeyObjectSelection(concept(REJECTED), stubs, description=plain(reason, 1024) or None),
        series_instance_uid=identity.uid("series", "rejection"),
        series_number=max(int(rejected[0].SeriesNumber) // 10 * 10, 1),
        sop_instance_uid=identity.uid("instance", "rejection"),
        instance_number=1,
        manufacturer=options.manufacturer,
    )
    dataset.SeriesDescription = f"SPINEPS {KINDS['rejection'].title}"
    return finish("rejection", dataset, rejected[0], Paper(identity, options))
