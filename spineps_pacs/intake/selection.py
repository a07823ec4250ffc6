"""Is a series ours? Small rules on its facts, each with what was measured and its limit; all are kept, taken or not."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pydicom import config
from pydicom.dataset import Dataset
from pydicom.uid import UID

from spineps_pacs.domain.dixon import FAT, shows_fat
from spineps_pacs.domain.job import Finding, Verdict
from spineps_pacs.intake.expression import Expression, parse
from spineps_pacs.intake.facts import Facts, measure
from spineps_pacs.intake.headers import TEXTS
from spineps_pacs.intake.limits import Limits
from spineps_pacs.intake.words import word

MR_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.4",  # MR Image Storage
    "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR Image Storage
    "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR Image Storage
)

NUMBERS = ("EchoTime", "RepetitionTime", "InversionTime", "EchoTrainLength", "FlipAngle", "MagneticFieldStrength")
NAMES = frozenset({*TEXTS, *NUMBERS, "ImageType", "SeriesNumber", "Rows", "Columns", "Slices", "Source"})
"""What an include, exclude or urgent expression may ask for."""

_COMPOSING = frozenset({"MPR", "REFORMATTED", "RESAMPLED", "CSA RESAMPLED"})  # how a whole spine is put together
_COMPOSED = re.compile(r"^(COMPOSED|COMP|COMP_.*|PASTED|STITCHED|MOBIVIEW)$")
_OTHER_PIXELS = frozenset(
    {"MPR", "REFORMATTED", "CSA MPR", "CSA 3D EDITOR", "CSA RESAMPLED", "VOLUME_RENDERING", "SCREEN SAVE", "RESAMPLED"}
    | {"MIP", "MAX_IP", "MIN_IP", "MINIP", "MNIP", "PROJECTION IMAGE", "PROJECTION", "CURVED"}
    | {"SUBTRACTION", "SUBTRACT", "SUB", "ADDITION", "DIVISION", "MULTIPLICATION", "ERROR MAP", "PROCESSED"}
    | {"ADC", "EADC", "TRACEW", "TRACE", "FA", "DIFFUSION", "TENSOR", "PERFUSION", "ASL", "FMRI", "T_TEST"}
    | {"T1 MAP", "T2 MAP", "T2_STAR MAP", "T2MAP", "T2_MAP", "R2 MAP", "RELAXOMETRY", "FIELDMAP", "B0 MAP", "B0"}
    | {"FAT_FRACTION", "FF", "SWI", "MRA", "ANGIO", "FLOW", "VELOCITY", "SPECTROSCOPY", "CONVERSION MATRIX"}
    | {"CONFIDENCE", "SHIM", "STITCHED_MIP", "ANATOMICAL_MASK", "CPR"}
)
SAME_ECHO = 1.03
"""Effective echo times within this ratio are one echo, which some scanners state a little differently in each slice."""

_PHASES = frozenset({"P", "PHASE", "REAL", "IMAGINARY", "I", "R", "VELOCITY"})


@dataclass(frozen=True)
class Check:
    """What a rule found; `fault` completes the sentence that begins with the rule's name, when it did not pass."""

    passed: bool
    value: str
    limit: str
    fault: str = ""


Rule = Callable[[Facts, Limits], Check]


def judge(datasets: Sequence[Dataset], limits: Limits, source: str = "") -> Verdict:
    """All rules on a series' headers; skipped, never an exception, whatever they hold."""
    return judge_facts(measure(datasets), limits, source)


def judge_facts(facts: Facts, limits: Limits, source: str = "") -> Verdict:
    """All rules on stored facts: what another configuration would have said."""
    own = limits.for_source(source)
    checks = [(name, rule(facts, own)) for name, rule in RULES]
    checks += [_expressed("include", own.include, facts, source), _expressed("exclude", own.exclude, facts, source)]
    findings = tuple(Finding(name, check.passed, check.value, check.limit) for name, check in checks)
    faults = [f"{name}: {check.fault}" for name, check in checks if not check.passed]
    return Verdict(not faults, faults[0] if faults else _welcome(facts), findings, facts.to_json())


def check_expressions(limits: Limits) -> None:
    """SettingsError when an include, exclude or urgent expression, also of a single sender, cannot be read."""
    for source in ("", *dict(limits.sources)):
        own = limits.for_source(source)
        for expression in (own.include, own.exclude, own.urgent):
            _parsed(expression)


def is_urgent(datasets: Sequence[Dataset], limits: Limits, source: str = "") -> bool:
    """True where the site's expression says that the series overtakes the others; without one none does."""
    parsed = _parsed(limits.for_source(source).urgent)
    if parsed is None:
        return False
    facts = measure(datasets)
    return bool(parsed(lambda key: _value(facts, key, source)))


def _welcome(facts: Facts) -> str:
    echo = facts.echo_times[-1] if facts.echo_times else None
    return f"taken: sagittal T2w, {facts.slices} slices" + (f", TE {echo:g} ms" if echo else "")


@lru_cache(maxsize=64)
def _parsed(expression: str) -> Expression | None:
    return parse(expression, NAMES) if expression.strip() else None


def _expressed(name: str, expression: str, facts: Facts, source: str) -> tuple[str, Check]:
    parsed = _parsed(expression)
    if parsed is None:
        return name, Check(True, "none", "none")
    found = parsed(lambda key: _value(facts, key, source))
    wanted = name == "include"
    value = "true" if found else "false"
    return name, Check(found == wanted, value, expression, f"the site's expression {expression!r} is {value}")


def _value(facts: Facts, name: str, source: str) -> str | float | None:
    """What an expression finds under a name."""
    several: dict[str, str | float | None] = {
        "EchoTime": facts.echo_times[-1] if facts.echo_times else None,
        "ImageType": facts.image_types[0] if facts.image_types else "",
        "Rows": float(facts.rows),
        "Columns": float(facts.columns),
        "Slices": float(facts.slices),
        "Source": source,
    }
    if name in several:
        return several[name]
    return facts.text(name) if name in TEXTS else facts.number(name)


def _descriptions(facts: Facts) -> tuple[str, ...]:
    return tuple(facts.text(name) for name in ("SeriesDescription", "ProtocolName", "StudyDescription"))


def mr_image(facts: Facts, _: Limits) -> Check:
    """MR images only, so that results, ours too, never come back as input."""
    other = [uid for uid in facts.sop_classes if uid not in MR_CLASSES]
    modality = facts.text("Modality")
    names = ", ".join(_class_name(uid) for uid in facts.sop_classes) or "none"
    passed = bool(facts.sop_classes) and not other and modality in ("MR", "")
    return Check(passed, f"{names} ({modality or 'no modality'})", "MR Image Storage", f"{names} → not MR images")


def _class_name(uid: str) -> str:
    known = UID(uid, validation_mode=config.IGNORE)
    return known.name[:60] if known.is_valid else "an invalid SOP class"


def original(facts: Facts, limits: Limits) -> Check:
    """Derived images only when they are a composed whole spine."""
    composed = any(_COMPOSED.match(kind) for kind in facts.kinds)
    value = facts.image_types[0] if facts.image_types else "no image type"
    derived = any(kind.upper().startswith("DERIVED") for kind in facts.image_types)
    secondary = any("SECONDARY" in kind.upper().split("\\")[1:2] for kind in facts.image_types)
    passed = composed or limits.take_derived or not (derived or secondary)
    return Check(passed, value, "ORIGINAL, or composed", f"{value} → derived images")


def plain_image(facts: Facts, _: Limits) -> Check:
    """No reformatting, projection, subtraction or map."""
    composed = any(_COMPOSED.match(kind) for kind in facts.kinds)
    found = facts.kinds & _OTHER_PIXELS | {kind for kind in facts.volumetric if kind in ("SAMPLED", "DISTORTED")}
    found -= _COMPOSING | {"SAMPLED", "DISTORTED"} if composed else set()
    value = ", ".join(sorted(found)) or "none"
    return Check(not found, value, "no MPR, projection, subtraction or map", f"image type says {value}")


def magnitude(facts: Facts, _: Limits) -> Check:
    """Magnitude images; a phase or real part beside them does not matter if the magnitude is there."""
    said = {component.upper() for component in facts.components}
    thirds = {kind.upper().split("\\")[2] for kind in facts.image_types if kind.count("\\") >= 2}
    said |= {re.split(r"[_ ]", third)[0] for third in thirds}  # Philips: M_SE, P_FFE, PHASE MAP
    others = said & _PHASES
    passed = not others or bool(said & {"M", "MAGNITUDE", "MIXED"})
    value = ", ".join(sorted(others)) or "magnitude"
    return Check(passed, value, "magnitude", f"{value} → no magnitude images")


def not_fat(facts: Facts, _: Limits) -> Check:
    """Of Dixon images, not those of fat or opposed phase alone; beside water or in phase they do not matter."""
    passed = not facts.image_types or not all(shows_fat(kind) for kind in facts.image_types)
    value = ", ".join(sorted(facts.kinds & FAT)) or "none"
    return Check(passed, value, "water or in phase", f"{value} → only fat or opposed phase")


def not_mosaic(facts: Facts, _: Limits) -> Check:
    """One slice in one image."""
    tiled = facts.kinds & {"MOSAIC", "VFRAME"}
    value = ", ".join(sorted(tiled)) or "one slice"
    return Check(not tiled, value, "one slice in each image", f"{value} → many slices in one image, a time series")


def not_localizer(facts: Facts, _: Limits) -> Check:
    """Not a planning scan: the image type says so, or a word does and few or thick slices agree."""
    said = "LOCALIZER" in facts.kinds
    hint = word("localizer", *_descriptions(facts))
    thick = (facts.step_mm or 0) >= 8 or (facts.thickness_mm or 0) >= 8
    few = facts.slices < 8 or len(facts.orientations) > 1
    found = said or bool(hint and (thick or few))
    value = "LOCALIZER" if said else hint or "no sign"
    return Check(not found, value, "no localizer", f"{value!r} → a localizer")


def not_diffusion(facts: Facts, _: Limits) -> Check:
    """No diffusion weighting."""
    largest = max(facts.b_values, default=0.0)
    contrast = "DIFFUSION" in facts.contrasts
    value = f"b {largest:g} s/mm2" if not contrast else "contrast DIFFUSION"
    return Check(largest <= 0 and not contrast, value, "b 0 s/mm2", f"{value} → diffusion")


def spin_echo(facts: Facts, _: Limits) -> Check:
    """A spin echo, neither gradient echo nor echo planar."""
    said = set(facts.text("ScanningSequence").upper().split("\\")) - {""}
    planar = "EP" in said or facts.text("EchoPlanarPulseSequence") == "YES"
    enhanced = facts.text("EchoPulseSequence").upper()
    spin = bool(said & {"SE", "RM"}) or enhanced in ("SPIN", "BOTH")
    gradient = "GR" in said or enhanced == "GRADIENT"
    train = facts.number("EchoTrainLength")
    value = ("\\".join(sorted(said)) or enhanced or "unknown") + (f", echo train {train:g}" if train else "")
    fault = f"{value} → {'echo planar' if planar else 'gradient echo'}, not T2w"
    return Check(not planar and (spin or not gradient), value, "spin echo", fault)


def no_inversion(facts: Facts, limits: Limits) -> Check:
    """No inversion recovery beyond the limit (STIR, FLAIR)."""
    time = facts.number("InversionTime") or 0.0
    declared = "IR" in facts.text("ScanningSequence").upper().split("\\") or facts.number("Inversion") == 1.0
    limit = limits.max_inversion_time_ms
    value = f"TI {time:g} ms" if time else "inversion, TI unknown" if declared else "no inversion"
    passed = time <= limit if time else not declared
    return Check(passed, value, f"{limit:g} ms", f"{value} > {limit:g} ms → inversion recovery" if time else value)


def t2_weighting(facts: Facts, limits: Limits) -> Check:
    """A long echo; where no echo time is known, the word T2 in a description must do."""
    low, high = limits.min_echo_time_ms, limits.max_echo_time_ms
    limit = f"{low:g} to {high:g} ms"
    if not facts.echo_times:
        hint = word("T2", *_descriptions(facts))
        return Check(bool(hint), f"TE unknown, {hint or 'no T2'} in the description", limit, "TE unknown → not T2w")
    echoes = [echo for echo in facts.echo_times if echo <= high] or list(facts.echo_times[:1])
    echo = max(echoes)
    sign, edge = ("<", low) if echo < low else (">", high)
    return Check(low <= echo <= high, f"TE {echo:g} ms", limit, f"TE {echo:g} ms {sign} {edge:g} ms → not T2w")


def repetition_time(facts: Facts, limits: Limits) -> Check:
    """A repetition long enough that T1 does not weight the image; unknown passes."""
    found, limit = facts.number("RepetitionTime"), limits.min_repetition_time_ms
    value = f"TR {found:g} ms" if found else "unknown"
    return Check(not found or found >= limit, value, f"{limit:g} ms", f"{value} < {limit:g} ms → not T2w")


def echoes(facts: Facts, limits: Limits) -> Check:
    """Not the many echoes of a T2 map."""
    count, most = _apart(facts.echo_times), limits.max_echoes
    return Check(count <= most, f"{count} echoes", f"at most {most}", f"{count} echoes > {most} → a multi-echo map")


def _apart(times: Sequence[float]) -> int:
    """How many echo times there are, when those that differ by a few parts in a hundred are one."""
    least, count = 0.0, 0
    for time in sorted(times):
        if time > least * SAME_ECHO:
            least, count = time, count + 1
    return count


def orientation(facts: Facts, limits: Limits) -> Check:
    """Sagittal, within the obliquity limit."""
    main, limit = facts.main, limits.max_obliquity_deg
    if main is None:
        return Check(False, "unknown", f"sagittal within {limit:g} degrees", "no Image Orientation (Patient)")
    value = f"{main.plane}, {main.degrees:g} degrees oblique"
    fault = f"{main.plane} → not sagittal"
    if main.plane == "sagittal":
        fault = f"{main.degrees:g} degrees > {limit:g} degrees → too oblique"
    passed = main.plane == "sagittal" and main.degrees <= limit
    return Check(passed, value, f"sagittal within {limit:g} degrees", fault)


def one_orientation(facts: Facts, limits: Limits) -> Check:
    """Nearly all images in one plane; a stray reference image does not matter."""
    total = sum(it.images for it in facts.orientations)
    share = facts.orientations[0].images / total if total else 1.0
    value = ", ".join(f"{it.images} {it.plane}" for it in facts.orientations) or "unknown"
    limit = f"{limits.min_share:.0%} in one plane"
    return Check(share >= limits.min_share, value, limit, f"{value} → several orientations, a localizer")


def slices(facts: Facts, limits: Limits) -> Check:
    """Enough slices, and not more than a spine has."""
    low, high = limits.min_slices, limits.max_slices
    sign = f"< {low} → too few slices" if facts.slices < low else f"> {high} → too many slices"
    fault = f"{facts.slices} {sign}"
    return Check(low <= facts.slices <= high, f"{facts.slices} slices", f"{low} to {high}", fault)


def slice_distance(facts: Facts, limits: Limits) -> Check:
    """Slices near enough to each other; unknown passes."""
    step, limit = facts.step_mm, limits.max_step_mm
    value = f"{step:g} mm" if step else "unknown"
    return Check(not step or step <= limit, value, f"{limit:g} mm", f"{value} > {limit:g} mm between slices")


def repetitions(facts: Facts, limits: Limits) -> Check:
    """One image of each place and echo, not a time series."""
    several = max(facts.places * max(_apart(facts.echo_times), 1), 1)
    main = facts.main.images if facts.main else 0
    count, most = main / several, limits.max_repetitions
    value = f"{count:.2g} images of each place and echo"
    return Check(count <= most, value, f"at most {most}", f"{value} > {most} → a time series")


def field_of_view(facts: Facts, limits: Limits) -> Check:
    """An extent from head to foot that shows several vertebrae; unknown passes."""
    found, limit = facts.field_of_view_mm, limits.min_field_of_view_mm
    value = f"{found:g} mm" if found else "unknown"
    return Check(not found or found >= limit, value, f"{limit:g} mm", f"{value} < {limit:g} mm → too small a view")


def body_part(facts: Facts, _: Limits) -> Check:
    """The spine, as far as anything says; another body part counts only when no word speaks of the spine."""
    part = facts.text("BodyPartExamined")
    spine = word("spine", part, *_descriptions(facts))
    other = "" if spine else word("other", part, *_descriptions(facts))
    value = f"{part or 'no body part'}" + (f", {spine!r} said" if spine else f", {other!r} said" if other else "")
    return Check(not other, value, "spine, or nothing else", f"{other!r} → not the spine")


def frame_of_reference(facts: Facts, limits: Limits) -> Check:
    """Without a frame of reference no result can be laid on the images."""
    value = "present" if facts.frame_of_reference else "absent"
    passed = facts.frame_of_reference or not limits.need_frame_of_reference
    return Check(passed, value, "present", "no Frame of Reference UID → results could not be placed on the images")


RULES: tuple[tuple[str, Rule], ...] = (
    ("MR images", mr_image),
    ("localizer", not_localizer),
    ("image type", plain_image),
    ("derivation", original),
    ("mosaic", not_mosaic),
    ("component", magnitude),
    ("Dixon", not_fat),
    ("diffusion", not_diffusion),
    ("one orientation", one_orientation),
    ("orientation", orientation),
    ("pulse sequence", spin_echo),
    ("inversion", no_inversion),
    ("T2 weighting", t2_weighting),
    ("repetition time", repetition_time),
    ("echoes", echoes),
    ("repetitions", repetitions),
    ("slices", slices),
    ("slice distance", slice_distance),
    ("field of view", field_of_view),
    ("body part", body_part),
    ("frame of reference", frame_of_reference),
)
"""Every rule, in the order in which the first fault becomes the reason."""
