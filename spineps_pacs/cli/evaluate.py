"""`spineps-pacs evaluate`: masks beside a reference, by the measures and in the layout of the SPINEPS paper."""

from __future__ import annotations

import json as json_format
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from spineps_pacs.domain.errors import Unusable
from spineps_pacs.evaluation.cases import Value, instance_values, region_values, structure_values
from spineps_pacs.evaluation.files import pairs, read_instances, read_structures
from spineps_pacs.evaluation.naming import NamedCase, named_case
from spineps_pacs.evaluation.naming_table import label_json, label_text
from spineps_pacs.evaluation.tables import Cases, as_json, rows, text, write_csv


def evaluate(
    prediction: Path,
    reference: Path,
    *,
    instances: Annotated[tuple[Path, Path] | None, Parameter(negative="")] = None,
    versus: Path | None = None,
    csv: Path | None = None,
    labels: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Compares masks with a reference: Dice, ASSD, and for instances RQ, SQ, PQ at an IoU of one half.

    Several cases give mean and standard deviation. Folders are matched by the files' names.

    Parameters
    ----------
    prediction
        NIfTI file with SPINEPS structure ids, or a folder of them.
    reference
        The reference's file or folder.
    instances
        Two more files or folders with SPINEPS instance ids: of the prediction, of the reference. The structures are
        then also compared by region of the spine.
    versus
        A second method's structures (file or folder), compared with the first one by the Wilcoxon signed-rank test.
        Where it holds folders `structures` and `instances`, its instances are compared too.
    csv
        Writes every value of every case to this file.
    labels
        Compares names of levels instead: both are masks of instances. Prints how many scans are named right as a whole
        by vertebrae in view (5: up to 6, 8: to 9, 10: to 12, 15: to 19, all: 20 and more), Dice, each level, anomalies.
    json
        Prints the table as JSON.
    """
    if labels:
        if instances or versus or csv:
            raise Unusable(
                "--labels compares two masks of instances; --instances, --versus and --csv say nothing there"
            )
        cases = {case: _named(found, truth) for case, found, truth in pairs(prediction, reference)}
        print(json_format.dumps(label_json(cases), indent=2) if json else label_text(cases))
        return 0
    names = _names(prediction, versus)
    methods = [_measured(prediction, reference, instances)]
    if versus:
        methods.append(_second(versus, reference, instances))
    table = rows(methods)
    if csv:
        write_csv(csv, dict(zip(names, methods, strict=True)))
    print(json_format.dumps(as_json(table, names), indent=2) if json else text(table, names))
    return 0


def _named(found: Path, truth: Path) -> NamedCase:
    reference = read_instances(truth)
    return named_case(read_instances(found, like=reference), reference)


def _names(prediction: Path, versus: Path | None) -> list[str]:
    """The methods' names: those of their files or folders, in full where these are alike."""
    if versus is None:
        return [prediction.name]
    if prediction.name == versus.name:
        return [str(prediction), str(versus)]
    return [prediction.name, versus.name]


def _second(versus: Path, reference: Path, instances: tuple[Path, Path] | None) -> Cases:
    """The second method; its folder may hold structures only, or both kinds in folders of their own."""
    if (versus / "structures").is_dir():
        both = (versus / "instances", instances[1]) if instances else None
        return _measured(versus / "structures", reference, both)
    return _measured(versus, reference, None)


def _measured(prediction: Path, reference: Path, instances: tuple[Path, Path] | None) -> Cases:
    """All values of one method, case by case."""
    structures = pairs(prediction, reference)
    vertebrae = pairs(*instances) if instances else []
    if vertebrae and len(vertebrae) != len(structures):
        raise Unusable(f"{len(structures)} masks of structures, but {len(vertebrae)} of instances")
    return {case: list(_case(n, structures, vertebrae)) for n, (case, _, _) in enumerate(structures)}


def _case(
    n: int, structures: Sequence[tuple[str, Path, Path]], vertebrae: Sequence[tuple[str, Path, Path]]
) -> Iterator[Value]:
    truth = read_structures(structures[n][2])
    found = read_structures(structures[n][1], like=truth)
    yield from structure_values(found, truth)
    if vertebrae:
        true_instances = read_instances(vertebrae[n][2])
        yield from instance_values(read_instances(vertebrae[n][1], like=true_instances), true_instances)
        if true_instances.geometry.same_grid(truth.geometry, 1e-2):
            yield from region_values(found, truth, true_instances)
