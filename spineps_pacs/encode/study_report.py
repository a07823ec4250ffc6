"""The report of a study of several stations: one numbering for all, beside the reports of the series it refers to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import highdicom
import pydicom
from highdicom.sr import (
    AlgorithmIdentification,
    CompositeContentItem,
    Comprehensive3DSR,
    ContainerContentItem,
    FindingSite,
    MeasurementReport,
    ObservationContext,
    TextContentItem,
    TrackingIdentifier,
)
from highdicom.sr import Measurement as Number
from highdicom.sr import MeasurementsAndQualitativeEvaluations as Group
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from spineps_pacs.domain.anatomy import FLAGS, SACRUM_ID, SPINE, VERTEBRA, VERTEBRAE, Code, private
from spineps_pacs.domain.ports import Result
from spineps_pacs.domain.study import JoinedLevel, JoinedLevels
from spineps_pacs.encode.concepts import (
    ARTIFICIAL_INTELLIGENCE,
    CERTAINTY,
    COMMENT,
    MARGIN,
    STATION_REPORT,
    concept,
    plain,
    unit,
)
from spineps_pacs.encode.header import NOT_FOR_DIAGNOSIS
from spineps_pacs.encode.identity import ENCODER, Identity, Origin, digest_of
from spineps_pacs.encode.numbers import rounded
from spineps_pacs.encode.on_results import Paper, finish, header_of, stub
from spineps_pacs.encode.options import KINDS, Options
from spineps_pacs.encode.structured_report import english, observer, prior_stub, procedures

_LONGEST_COMMENT = 1024


def study_report(
    reports: Sequence[Result], joined: JoinedLevels, origin: Origin, options: Options, *, demonstration: bool = False
) -> Result:
    """One Comprehensive 3D SR; `reports` are those of the stations, in the order in which `joined` counts them."""
    headers = [header_of(report) for report in reports]
    first, stubs = headers[0], [stub(header) for header in headers]
    identity = identify_study(headers, joined, origin, options)
    title = plain(f"{KINDS['study'].title} DEMO, not for diagnosis: SPINEPS" if demonstration else _title())
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer(options)),
        procedure_reported=[concept(code) for code in procedures(first)],
        imaging_measurements=_groups(headers, joined, Paper(identity, options), demonstration),
        title=codes.DCM.ImagingMeasurementReport,
        language_of_content_item_and_descendants=english(),
    )
    content[0].ContentSequence.append(_references(stubs))
    dataset = Comprehensive3DSR(
        evidence=stubs,
        content=content,
        series_instance_uid=identity.uid("series", "study"),
        series_number=max(int(first.get("SeriesNumber") or 0) // 10 * 10 + KINDS["study"].suffix, 1),
        sop_instance_uid=identity.uid("instance", "study"),
        instance_number=1,
        manufacturer=options.manufacturer,
        is_complete=True,
        is_final=False,
        previous_versions=[prior_stub(prior) for prior in origin.predecessors] or None,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
    )
    dataset.SeriesDescription = title
    return finish("study", dataset, first, Paper(identity, options))


def identify_study(headers: Sequence[Dataset], joined: JoinedLevels, origin: Origin, options: Options) -> Identity:
    """UIDs that follow from the reports, from what they make together, and from how it is written."""
    seed = digest_of(
        "study",
        *(str(header.SOPInstanceUID) for header in headers),
        json.dumps(asdict(joined), sort_keys=True),
        repr(origin.predecessors),
        repr(options),
        f"{ENCODER}/{highdicom.__version__}/{pydicom.__version__}",
    )
    return Identity(seed, str(headers[0].StudyInstanceUID), origin.created, options.uid_root, origin.predecessors)


def _title() -> str:
    return f"SPINEPS {KINDS['study'].title}"


def _references(stubs: Sequence[Dataset]) -> Any:
    """The reports of the stations, none of which is replaced."""
    container = ContainerContentItem(codes.DCM.Findings, relationship_type="CONTAINS")
    container.ContentSequence = [
        CompositeContentItem(
            name=concept(STATION_REPORT),
            referenced_sop_class_uid=str(it.SOPClassUID),
            referenced_sop_instance_uid=str(it.SOPInstanceUID),
            relationship_type="CONTAINS",
        )
        for it in stubs
    ]
    return container


def _groups(headers: Sequence[Dataset], joined: JoinedLevels, paper: Paper, demonstration: bool) -> list[Any]:
    names = [f"station {n} ({header.get('SeriesDescription', '')})" for n, header in enumerate(headers, start=1)]
    algorithm = AlgorithmIdentification(
        name=f"SPINEPS ({NOT_FOR_DIAGNOSIS})" if demonstration else "SPINEPS",
        version=paper.options.version,
        family=concept(ARTIFICIAL_INTELLIGENCE),
    )
    groups = [_level(n, level, names, paper, algorithm) for n, level in enumerate(joined.levels, start=1)]
    margin = [] if joined.margin is None else [_number(MARGIN, joined.margin, "1")]
    comments = [*joined.flags] or ["all stations agree"]
    comments += [f"{FLAGS['demonstration-model']}."] if demonstration else []
    return [*groups, _group("Numbering", (SPINE, SPINE), margin, comments, (paper, algorithm))]


def _level(n: int, joined: JoinedLevel, names: Sequence[str], paper: Paper, algorithm: Any) -> Any:
    known = VERTEBRAE.get(joined.level or 0)
    label = known.name if known else f"vertebra {n} (counted)"
    site = known.code if known else private(f"VCOUNT{n}", f"Vertebra {n} (counted)")
    finding = site if joined.level == SACRUM_ID else VERTEBRA
    sure = [] if joined.confidence is None else [_number(CERTAINTY, 100 * joined.confidence, "%")]
    return _group(label, (finding, site), sure, list(_said(joined, names)), (paper, algorithm))


def _said(joined: JoinedLevel, names: Sequence[str]) -> Iterator[str]:
    for seen in joined.seen:
        name = VERTEBRAE[seen.level].name if seen.level is not None else "not named"
        yield f"{names[seen.station]}: instance {seen.body.instance}, {name}, confidence {seen.body.confidence:.2f}"


def _number(code: Code, value: float, symbol: str) -> Any:
    return Number(name=concept(code), value=rounded(value, symbol), unit=unit(symbol))


def _group(
    label: str, codes_of: tuple[Code, Code], numbers: list[Any], comments: Sequence[str], made: tuple[Paper, Any]
) -> Any:
    finding, site = codes_of
    paper, algorithm = made
    group = Group(
        tracking_identifier=TrackingIdentifier(uid=paper.identity.tracking_uid(label), identifier=plain(label)),
        finding_type=concept(finding),
        algorithm_id=algorithm,
        finding_sites=[FindingSite(concept(site))],
        measurements=numbers or None,
    )
    texts = (plain(comment, _LONGEST_COMMENT) for comment in comments)
    items = [TextContentItem(concept(COMMENT), text, relationship_type="CONTAINS") for text in texts]
    group[0].ContentSequence.extend(items)
    return group
