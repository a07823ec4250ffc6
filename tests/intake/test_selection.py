"""Is a series ours? Every rule on made-up and on real headers, and never an exception."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import made_dicom as made
import numpy as np
import pytest
import scanners
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from scipy.spatial.transform import Rotation

from spineps_pacs.domain.errors import SettingsError
from spineps_pacs.intake.facts import Facts, measure
from spineps_pacs.intake.limits import Limits, with_sources
from spineps_pacs.intake.selection import RULES, check_expressions, is_urgent, judge, judge_facts

LIMITS = Limits()


def coarse(slices: int = 12, step: float = 4, **placed: object) -> tuple[np.ndarray, tuple[int, int, int]]:
    """A grid as large as a spine, of few voxels: rules read headers."""
    return made.grid((slices, 20, 12), (step, 15, 12.5), **placed)


def spine(**attributes: object) -> list[Dataset]:
    """A sagittal T2w spine series, changed by `attributes`."""
    return made.series(*coarse(), **attributes)


def failed(datasets: list[Dataset], limits: Limits = LIMITS, source: str = "") -> list[str]:
    """The rules that did not pass."""
    return [it.rule for it in judge(datasets, limits, source).findings if not it.passed]


def test_a_sagittal_t2w_spine_is_taken_with_every_rule_on_record() -> None:
    """Taken: every rule has a value and a limit, and the reason says what it is."""
    verdict = judge(spine(), LIMITS)
    assert verdict.taken
    assert verdict.reason == "taken: sagittal T2w, 12 slices, TE 102 ms"
    assert [it.rule for it in verdict.findings] == [*(name for name, _ in RULES), "include", "exclude"]
    assert all(it.passed and it.value and it.limit for it in verdict.findings)


def test_the_reason_of_a_t1_series_names_value_and_limit() -> None:
    """One sentence, with the rule, the measured value, the limit and what follows."""
    verdict = judge(spine(EchoTime="11", RepetitionTime="600"), LIMITS)
    assert not verdict.taken
    assert verdict.reason == "T2 weighting: TE 11 ms < 60 ms → not T2w"
    found = {it.rule: it for it in verdict.findings}
    assert found["T2 weighting"].value == "TE 11 ms"
    assert found["T2 weighting"].limit == "60 to 450 ms"
    assert [it.rule for it in verdict.findings if not it.passed] == ["T2 weighting", "repetition time"]


@pytest.mark.parametrize(
    ("attributes", "rule"),
    [
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4", "Modality": "SEG"}, "MR images"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.34", "Modality": "SR"}, "MR images"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.11.1", "Modality": "PR"}, "MR images"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.59", "Modality": "KO"}, "MR images"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "MR images"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "Modality": "CT"}, "MR images"),
        ({"ImageType": ["DERIVED", "PRIMARY", "M", "ND"]}, "derivation"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "image type"),
        ({"ImageType": ["DERIVED", "SECONDARY", "CSA MPR"]}, "image type"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "PROJECTION IMAGE"]}, "image type"),
        ({"ImageType": ["DERIVED", "PRIMARY", "MIP"]}, "image type"),
        ({"ImageType": ["DERIVED", "PRIMARY", "SUBTRACTION"]}, "image type"),
        ({"ImageType": ["DERIVED", "PRIMARY", "T2 MAP"]}, "image type"),
        ({"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]}, "image type"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}, "component"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "PHASE MAP", "P", "SE"]}, "component"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "DIXON", "FAT"]}, "Dixon"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "F", "F", "SE"]}, "Dixon"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "DIXON", "OPP_PHASE"]}, "Dixon"),
        ({"ImageType": lambda at: ["ORIGINAL", "PRIMARY", "OP" if at % 2 else "OUT_PHASE"]}, "Dixon"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}, "mosaic"),
        ({"DiffusionBValue": 800.0}, "diffusion"),
        ({"ScanningSequence": "GR"}, "pulse sequence"),
        ({"ScanningSequence": ["SE", "EP"]}, "pulse sequence"),
        ({"ScanningSequence": ["SE", "IR"], "InversionTime": "160"}, "inversion"),
        ({"ScanningSequence": ["SE", "IR"]}, "inversion"),
        ({"EchoTime": "1200"}, "T2 weighting"),
        ({"RepetitionTime": "500"}, "repetition time"),
        ({"EchoTime": lambda at: f"{60 + 10 * (at % 6)}"}, "echoes"),
        ({"BodyPartExamined": "KNEE", "SeriesDescription": "t2_sag"}, "body part"),
        ({"BodyPartExamined": "", "SeriesDescription": "t2 sag Knie rechts"}, "body part"),
        ({"FrameOfReferenceUID": ""}, "frame of reference"),
        ({"SeriesDescription": "Localizer", "SliceThickness": "10"}, "localizer"),
        ({"PixelSpacing": ["0.3", "0.3"]}, "field of view"),
        ({"ImageOrientationPatient": ""}, "orientation"),
    ],
)
def test_each_rule_skips_what_it_is_for(attributes: dict[str, object], rule: str) -> None:
    """One attribute changed: that rule is among the failed ones."""
    assert rule in failed(spine(**attributes))


@pytest.mark.parametrize(
    "attributes",
    [
        {"ImageType": ["DERIVED", "PRIMARY", "M", "ND", "COMP_SP", "COMPOSED"]},
        {"ImageType": ["DERIVED", "SECONDARY", "MPR", "COMPOSED"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "M_SE", "M", "SE"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "DIXON", "WATER"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "IP", "IP", "SE"]},
        {"ImageType": lambda at: ["ORIGINAL", "PRIMARY", "DIXON", "FAT" if at % 2 else "WATER"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "M", "FATSAT", "OPTIMIZED", "FFE"]},
        {"BodyPartExamined": "HEAD", "SeriesDescription": "HWS t2_tse_sag"},
        {"BodyPartExamined": "", "SeriesDescription": "sag T2 rachis lombaire"},
        {"BodyPartExamined": "", "SeriesDescription": "腰椎 T2 SAG"},
        {"BodyPartExamined": "", "SeriesDescription": ""},
        {"EchoTime": "", "SeriesDescription": "sag T2 TSE"},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4.4"},
        {"EchoTime": lambda at: "12" if at % 2 else "95"},
        {"ScanningSequence": ["SE", "RM"]},
        {"ScanningSequence": "FSE"},
        {"EchoTime": lambda at: f"{101.1 + 0.01 * at:.3f}"},
        {"InversionTime": "0"},
        {"SeriesDescription": "t2_tse_sag_localized"},
    ],
)
def test_what_is_ours_is_taken(attributes: dict[str, object]) -> None:
    """Composed spines, odd body parts, other languages, missing texts, dual echoes: still ours."""
    assert failed(spine(**attributes)) == []


def test_the_reason_of_a_fat_series_is_a_sentence() -> None:
    """The words that were found, and what follows."""
    verdict = judge(spine(ImageType=["ORIGINAL", "PRIMARY", "DIXON", "FAT"]), LIMITS)
    assert verdict.reason == "Dixon: FAT → only fat or opposed phase"


def test_too_few_slices_and_large_steps_are_skipped() -> None:
    """Fewer than five slices; slices 12 mm apart."""
    assert "slices" in failed(made.series(*coarse(4)))
    assert "slice distance" in failed(made.series(*coarse(step=12)))


def test_obliquity_is_measured_against_its_limit() -> None:
    """Turned 20 degrees is sagittal, 35 is too oblique, 80 is coronal; the limit moves it."""

    def turned(degrees: float) -> list[Dataset]:
        rotation = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
        return made.series(*coarse(rotation=rotation))

    assert failed(turned(20)) == []
    assert judge(turned(35), LIMITS).reason == "orientation: 35 degrees > 30 degrees → too oblique"
    assert judge(turned(80), LIMITS).reason == "orientation: coronal → not sagittal"
    assert failed(turned(35), dataclasses.replace(LIMITS, max_obliquity_deg=40)) == []


def test_a_three_plane_localizer_is_skipped_and_a_stray_slice_is_not() -> None:
    """A third of the images in each plane is a localizer; one axial slice among twelve sagittal ones is nothing."""
    axial = Rotation.from_euler("y", 90, degrees=True).as_matrix()
    one = made.series(*coarse(1, rotation=axial))
    many = made.series(*coarse(rotation=axial))
    assert failed(spine() + one) == []
    assert "one orientation" in failed(spine() + many)


def test_a_time_series_is_skipped_and_stations_are_not() -> None:
    """Four images of each place are a time series; three stations of one spine are not."""
    assert "repetitions" in failed([dataset for _ in range(4) for dataset in spine()])
    stations = [coarse(origin=(-20, -90, z)) for z in (400.0, 120.0, -160.0)]
    assert failed([dataset for station in stations for dataset in made.series(*station)]) == []


def test_enhanced_mr_is_judged_from_its_functional_groups() -> None:
    """Echo time, orientation and frame type stand in sequences; shared or per frame makes no difference."""
    for shared in (True, False):
        dataset = made.enhanced(*coarse(), shared=shared)
        assert failed([dataset]) == []
        holder = dataset.SharedFunctionalGroupsSequence[0] if shared else dataset.PerFrameFunctionalGroupsSequence[0]
        holder.MREchoSequence[0].EffectiveEchoTime = 9.0
        assert failed([dataset]) == ["T2 weighting"]


@pytest.mark.parametrize("name", scanners.NAMES)
def test_no_scanner_image_of_the_collection_is_a_spine(name: str) -> None:
    """Heads, phantoms, localizers, diffusion, CT: skipped, with a sentence."""
    verdict = judge(scanners.datasets(name, pixels=False), LIMITS)
    assert not verdict.taken
    assert ": " in verdict.reason


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("siemens-mosaic-sag", "mosaic"),
        ("canon-sag-dti-several-volumes", "diffusion"),
        ("ge-three-plane-localizer", "one orientation"),
        ("siemens-enhanced-derived-tracew", "derivation"),
        ("uneven-slice-steps-ct", "MR images"),
        ("siemens-sag-t1-gap", "T2 weighting"),
        ("siemens-two-echoes-axial", "orientation"),
    ],
)
def test_scanner_images_are_skipped_for_the_right_reason(name: str, rule: str) -> None:
    """The rule that is meant for such a series is among the failed ones."""
    assert rule in failed(scanners.datasets(name, pixels=False))


def test_facts_survive_storing_and_carry_no_patient() -> None:
    """JSON and back is the identity; patient attributes are not in it."""
    datasets = spine(PatientName="Doe^Jane", PatientID="4711", PatientBirthDate="19700101")
    facts = measure(datasets)
    stored = facts.to_json()
    assert Facts.from_json(stored) == facts
    assert Facts.from_json(json.dumps({**json.loads(stored), "later": 1})) == facts
    assert not any(secret in stored for secret in ("Doe", "Jane", "4711", "1970"))
    assert judge_facts(Facts.from_json(stored), LIMITS) == judge(datasets, LIMITS)


def test_stored_facts_can_be_judged_under_other_limits() -> None:
    """A dry run of a changed configuration: the same facts, another verdict."""
    facts = measure(spine(EchoTime="55"))
    assert not judge_facts(facts, LIMITS).taken
    assert judge_facts(facts, dataclasses.replace(LIMITS, min_echo_time_ms=50)).taken


def test_a_source_may_have_its_own_limits() -> None:
    """An override holds for its sender only; one that names no limit is refused."""
    limits = with_sources(LIMITS, {"OLD_MR": {"min_slices": 3}})
    few = made.series(*coarse(4))
    assert "slices" in failed(few, limits)
    assert failed(few, limits, "OLD_MR") == []
    with pytest.raises(SettingsError, match="min_slice'"):
        with_sources(LIMITS, {"OLD_MR": {"min_slice": 3}})


@pytest.mark.parametrize(
    ("expression", "true"),
    [
        ('SeriesDescription ~ "T2.*SAG"', True),
        ('SeriesDescription !~ "t2"', False),
        ("BodyPartExamined = lspine and EchoTime >= 100", True),
        ("BodyPartExamined = CSPINE or not Slices < 12", True),
        ("not (EchoTime > 90 and Modality = MR)", False),
        ("StationName != ''", False),
        ("InversionTime < 100", False),
        ("Source = CT99", False),
        ("T2.*sag", True),
        ("^sag", False),
    ],
)
def test_expressions_mean_what_they_say(expression: str, true: bool) -> None:
    """Include must be true, exclude must be false; absent values are empty texts and no numbers."""
    include = dataclasses.replace(LIMITS, include=expression)
    exclude = dataclasses.replace(LIMITS, exclude=expression)
    assert judge(spine(), include).taken is true
    assert judge(spine(), exclude).taken is not true
    finding = {it.rule: it for it in judge(spine(), include).findings}["include"]
    assert (finding.value, finding.limit) == (str(true).lower(), expression)


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("SeriesDescripton ~ a", "'SeriesDescripton' is no name"),
        ("EchoTime >", "a value is missing"),
        ("EchoTime ? Modality = MR", "no operator"),
        ("t2(", "no regular expression"),
        ("EchoTime > long", "'long' is no number"),
        ("(EchoTime > 3", "bracket"),
        ("EchoTime > 3 )", "not expected"),
        ('SeriesDescription ~ "("', "regular expression"),
        ('SeriesDescription ~ "open', "cannot be read at character"),
        ("(" * 3000 + "EchoTime > 3", "too deeply|bracket"),
        ("x" * 5000, "too long"),
    ],
)
def test_an_expression_that_cannot_be_read_is_a_settings_error(expression: str, sentence: str) -> None:
    """The sentence says what is wrong."""
    with pytest.raises(SettingsError, match=sentence):
        check_expressions(dataclasses.replace(LIMITS, include=expression))


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_is_an_expression_or_a_settings_error(expression: str) -> None:
    """Nothing else comes out of the parser."""
    try:
        check_expressions(dataclasses.replace(LIMITS, exclude=expression))
    except SettingsError:
        return
    assert judge_facts(Facts(), dataclasses.replace(LIMITS, exclude=expression)).findings


def test_nothing_at_all_is_skipped_not_an_error() -> None:
    """No dataset, an empty one, and one that holds only nonsense."""
    nonsense = Dataset()
    nonsense.Rows, nonsense.ImageType, nonsense.Modality = 65535, ["", ""], "\\\\"
    for datasets in ([], [Dataset()], [nonsense], [Dataset(), *spine()]):
        verdict = judge(datasets, LIMITS)
        assert not verdict.taken
        assert verdict.reason


def test_every_rule_and_limit_is_documented() -> None:
    """docs/selection.md names each rule and each limit, and no default that is not true."""
    page = (Path(__file__).parents[2] / "docs" / "selection.md").read_text()
    assert all(f"| {name} |" in page for name, _ in RULES)
    for it in dataclasses.fields(Limits):
        if it.name not in ("sources", "include", "exclude", "urgent"):
            shown = f"{it.default:g}" if isinstance(it.default, float) else str(it.default).lower()
            assert f"`{it.name}` ({shown}" in page, it.name


def test_urgency_is_a_word_of_the_site() -> None:
    """Nothing is urgent without an expression, then what it says, also for one sender alone."""
    assert not is_urgent(spine(), LIMITS)
    wanted = dataclasses.replace(LIMITS, urgent='Modality = "MR" and Source = "ER"')
    assert is_urgent(spine(), wanted, "ER")
    assert not is_urgent(spine(), wanted, "MR2")
    own = with_sources(LIMITS, {"ER": {"urgent": "Slices > 1"}})
    assert [is_urgent(spine(), own, source) for source in ("ER", "MR2")] == [True, False]
