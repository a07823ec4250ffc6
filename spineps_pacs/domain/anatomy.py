"""Structures, vertebrae, discs and measurements: our ids, names, codes and colours, one table each.

Sources. "PS3.16": listed in a context group of DICOM PS3.16 (checked against pydicom's dictionary of it). "SNOMED": a
SNOMED CT concept without a place in those context groups (HL7 Europe eHDSI body-site value set). "private": no public
code is known; designator 99SPINEPS, listed in docs/codes.md. SPINEPS ids are those that upstream writes.
"""

from __future__ import annotations

from dataclasses import dataclass

PRIVATE_SCHEME = "99SPINEPS"
RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Code:
    """A coded concept: value, scheme designator, meaning."""

    value: str
    scheme: str
    meaning: str


def sct(value: str, meaning: str) -> Code:
    """A SNOMED CT concept."""
    return Code(value, "SCT", meaning)


def dcm(value: str, meaning: str) -> Code:
    """A concept of DICOM's own terminology."""
    return Code(value, "DCM", meaning)


def private(value: str, meaning: str) -> Code:
    """A concept of ours; at most 16 characters, listed in docs/codes.md."""
    return Code(value, PRIVATE_SCHEME, meaning)


ANATOMICAL_STRUCTURE = sct("91723000", "Anatomical Structure")
LEFT, RIGHT = sct("7771000", "Left"), sct("24028007", "Right")
SPINE = sct("421060004", "Spine")
CERVICAL, THORACIC, LUMBAR = (
    sct("122494005", "Cervical spine"),
    sct("122495006", "Thoracic spine"),
    sct("122496007", "Lumbar spine"),
)
VERTEBRA = sct("51282000", "Vertebra")
DISC = sct("360499006", "Intervertebral disc")
BODY = sct("3572006", "Vertebral body")
SACRUM = sct("54735007", "Sacrum")
CORD = sct("2748008", "Spinal cord")
CANAL = sct("61853006", "Vertebral canal")
ENDPLATE = private("ENDPLATE", "Vertebral endplate")


@dataclass(frozen=True)
class Structure:
    """One of the 14 structures: the SPINEPS ids it gathers, its name, code, side, region and colour."""

    ids: tuple[int, ...]
    name: str
    code: Code
    side: Code | None
    region: Code
    rgb: RGB

    @property
    def id(self) -> int:
        """The SPINEPS id that stands for it."""
        return self.ids[0]


_TRANSVERSE = sct("73400003", "Transverse process of vertebra")
_SUPERIOR = sct("317665004", "Superior articular process of vertebra")
_INFERIOR = sct("317766009", "Inferior articular process of vertebra")

STRUCTURES: tuple[Structure, ...] = (
    Structure((26,), "Sacrum", SACRUM, None, SACRUM, (214, 156, 90)),
    Structure((41,), "Vertebral arch", sct("40265002", "Arch of vertebra"), None, SPINE, (86, 152, 214)),
    Structure((42,), "Spinous process", sct("55678000", "Spinous process of vertebra"), None, SPINE, (147, 112, 219)),
    Structure((43,), "Costal process, left", _TRANSVERSE, LEFT, SPINE, (64, 176, 166)),
    Structure((44,), "Costal process, right", _TRANSVERSE, RIGHT, SPINE, (32, 120, 130)),
    Structure((45,), "Superior articular process, left", _SUPERIOR, LEFT, SPINE, (236, 112, 160)),
    Structure((46,), "Superior articular process, right", _SUPERIOR, RIGHT, SPINE, (184, 56, 112)),
    Structure((47,), "Inferior articular process, left", _INFERIOR, LEFT, SPINE, (170, 204, 68)),
    Structure((48,), "Inferior articular process, right", _INFERIOR, RIGHT, SPINE, (110, 148, 30)),
    Structure((49, 50), "Vertebral body", BODY, None, SPINE, (240, 226, 150)),
    Structure((60,), "Spinal cord", CORD, None, SPINE, (250, 84, 60)),
    Structure((61,), "Spinal canal", CANAL, None, SPINE, (70, 110, 240)),
    Structure((62, 52, 53), "Vertebral endplate", ENDPLATE, None, BODY, (160, 90, 44)),
    Structure((100,), "Intervertebral disc", DISC, None, SPINE, (90, 220, 120)),
)
"""The 14 structures of the paper. PS3.16: 26, 41-48, 60, 61. SNOMED: 49, 100. Private: endplate."""

SACRUM_ID, CORD_ID, CANAL_ID, DISC_ID, CORPUS_ID, ENDPLATE_ID, METAL_ID = 26, 60, 61, 100, 49, 62, 80
VERTEBRAE_BELOW, DISC_OFFSET, ENDPLATE_OFFSET = 40, 100, 200
"""In an instance mask: vertebrae lie below the first; metal (80) is none. Discs and endplates lie above the others."""


@dataclass(frozen=True)
class Vertebra:
    """One anatomical level: SPINEPS instance id, name, code of the whole vertebra and of its body, region, colour."""

    id: int
    name: str
    code: Code
    body: Code
    region: Code
    rgb: RGB


_WHOLE = {
    "C1": "14806007", "C2": "39976000", "C3": "113205007", "C4": "5329002", "C5": "36978003", "C6": "36054005",
    "C7": "87391001", "T1": "64864005", "T2": "53733008", "T3": "1626008", "T4": "73071006", "T5": "56401006",
    "T6": "45296009", "T7": "62487009", "T8": "11068009", "T9": "82687006", "T10": "7610001", "T11": "12989004",
    "T12": "23215003", "L1": "66794005", "L2": "14293000", "L3": "36470004", "L4": "11994002", "L5": "49668003",
}  # fmt: skip
"""PS3.16 CID 7603: whole vertebrae."""

_BODIES = {
    "C3": ("91116008", "Structure of body of third cervical vertebra"),
    "C4": ("14705001", "Structure of body of fourth cervical vertebra"),
    "C5": ("67479001", "Structure of body of fifth cervical vertebra"),
    "C6": ("88298007", "Structure of body of sixth cervical vertebra"),
    "C7": ("16126006", "Structure of body of seventh cervical vertebra"),
    "T1": ("56094003", "Structure of body of first thoracic vertebra"),
    "T2": ("50060007", "Structure of body of second thoracic vertebra"),
    "T3": ("73138009", "Structure of body of third thoracic vertebra"),
    "T4": ("86197001", "Structure of body of fourth thoracic vertebra"),
    "T5": ("6105006", "Structure of body of fifth thoracic vertebra"),
    "T6": ("32430008", "Structure of body of sixth thoracic vertebra"),
    "T7": ("71737002", "Structure of body of seventh thoracic vertebra"),
    "T8": ("77435000", "Structure of body of eighth thoracic vertebra"),
    "T9": ("33766003", "Structure of body of ninth thoracic vertebra"),
    "T10": ("48405002", "Structure of body of tenth thoracic vertebra"),
    "T11": ("52120002", "Structure of body of eleventh thoracic vertebra"),
    "T12": ("280849005", "Entire body of twelfth thoracic vertebra"),
    "T13": ("1186895000", "Structure of body of thirteenth thoracic vertebra"),
    "L1": ("61032001", "Structure of body of first lumbar vertebra"),
    "L2": ("53983007", "Structure of body of second lumbar vertebra"),
    "L3": ("55492004", "Structure of body of third lumbar vertebra"),
    "L4": ("71996003", "Structure of body of fourth lumbar vertebra"),
    "L5": ("21799000", "Structure of body of fifth lumbar vertebra"),
}
"""SNOMED: bodies of vertebrae."""

_DISCS = {
    "C2/C3": "1078209008", "C3/C4": "58820006", "C4/C5": "49400002", "C5/C6": "73959003", "C6/C7": "75095006",
    "C7/T1": "37414007", "T1/T2": "40908007", "T2/T3": "6004007", "T3/T4": "2620004", "T4/T5": "82965004",
    "T5/T6": "72692000", "T6/T7": "74401007", "T7/T8": "28693002", "T8/T9": "9188009", "T9/T10": "113209001",
    "T10/T11": "34959001", "T11/T12": "1537001", "T12/L1": "76206002", "L1/L2": "80064006", "L2/L3": "67459009",
    "L3/L4": "62551000", "L4/L5": "84020006", "L5/S1": "715056000",
}  # fmt: skip
"""PS3.16 CID 7604: discs by level."""

_NAMES = [f"C{n}" for n in range(1, 8)] + [f"T{n}" for n in range(1, 13)] + [f"L{n}" for n in range(1, 7)]
SACRUM_NAME = "S1"
LEVEL_IDS: dict[str, int] = {name: n for n, name in enumerate(_NAMES, start=1)} | {SACRUM_NAME: SACRUM_ID, "T13": 28}
"""Level name to SPINEPS instance id."""

_SEQUENCE = [f"C{n}" for n in range(1, 8)] + [f"T{n}" for n in range(1, 14)] + [f"L{n}" for n in range(1, 7)]
HEAD_TO_TAIL: tuple[int, ...] = tuple(LEVEL_IDS[name] for name in [*_SEQUENCE, SACRUM_NAME])
"""All instance ids in anatomical order; T13 (28) stands between T12 and L1."""

_HUES: tuple[RGB, ...] = (
    (230, 75, 53), (50, 170, 220), (0, 160, 120), (245, 140, 60), (90, 110, 220), (130, 200, 60), (215, 165, 0),
    (140, 90, 210), (190, 120, 50), (40, 90, 190), (255, 110, 20), (40, 165, 45), (210, 80, 170), (20, 185, 200),
)  # fmt: skip


def _region(name: str) -> Code:
    return {"C": CERVICAL, "T": THORACIC, "L": LUMBAR, "S": SACRUM}[name[0]]


def _vertebra(position: int, instance: int, name: str) -> Vertebra:
    if name == SACRUM_NAME:
        return Vertebra(instance, name, SACRUM, SACRUM, SACRUM, STRUCTURES[0].rgb)
    code = sct(_WHOLE[name], f"{name} vertebra") if name in _WHOLE else private(f"{name}V", f"{name} vertebra")
    body = sct(*_BODIES[name]) if name in _BODIES else BODY
    return Vertebra(instance, name, code, body, _region(name), _HUES[position % len(_HUES)])


VERTEBRAE: dict[int, Vertebra] = {
    instance: _vertebra(n, instance, name)
    for n, (instance, name) in enumerate(zip(HEAD_TO_TAIL, [*_SEQUENCE, SACRUM_NAME], strict=True))
}
"""Instance id to anatomical level. Private codes: T13V, L6V."""


def disc_name(upper: str, lower: str) -> str:
    """The disc between two named vertebrae, as a radiologist writes it: L4-L5."""
    return f"{upper}-{lower}"


def disc_code(upper: str, lower: str) -> Code:
    """Its code; a pair that only an anomaly makes gets a private one (IVD_L5_L6)."""
    pair = f"{upper}/{lower}"
    if pair in _DISCS:
        return sct(_DISCS[pair], f"{pair} disc")
    return private(f"IVD_{upper}_{lower}", f"{pair} disc")


def disc_rgb(upper: int) -> RGB:
    """A disc has the colour of the vertebra above it, lighter."""
    r, g, b = VERTEBRAE[upper].rgb if upper in VERTEBRAE else (150, 150, 150)
    return ((2 * r + 255) // 3, (2 * g + 255) // 3, (2 * b + 255) // 3)


def counted_rgb(position: int) -> RGB:
    """The colour of a vertebra that is only counted, by its position from the head."""
    return _HUES[(position + 5) % len(_HUES)]


@dataclass(frozen=True)
class Quantity:
    """A kind of measurement: key, what to call it, its code, modifier of the site, UCUM unit, where it is measured.

    `of` is "vertebra", "disc", "level" (a vertebra's level of the canal), "structure" or "spine".
    """

    kind: str
    name: str
    code: Code
    modifier: Code | None
    unit: str
    of: str


_ANTERIOR, _POSTERIOR = sct("255549009", "Anterior"), sct("255551008", "Posterior")
_MIDDLE = sct("26216008", "Central")
_HEIGHT, _VOLUME, _AREA = dcm("121207", "Height"), sct("118565006", "Volume"), sct("42798000", "Area")
_COBB = sct("285285000", "Cobb angle")

MEASUREMENTS: dict[str, Quantity] = {
    q.kind: q
    for q in (
        Quantity("volume", "Volume", _VOLUME, None, "mm3", "vertebra"),
        Quantity("disc_volume", "Volume", _VOLUME, None, "mm3", "disc"),
        Quantity("structure_volume", "Volume", _VOLUME, None, "mm3", "structure"),
        Quantity("body_height_anterior", "Anterior body height", _HEIGHT, _ANTERIOR, "mm", "vertebra"),
        Quantity("body_height_middle", "Middle body height", _HEIGHT, _MIDDLE, "mm", "vertebra"),
        Quantity("body_height_posterior", "Posterior body height", _HEIGHT, _POSTERIOR, "mm", "vertebra"),
        Quantity(
            "body_height_ratio",
            "Anterior to posterior body height",
            private("HEIGHTRATIO", "Anterior to posterior height ratio"),
            None,
            "1",
            "vertebra",
        ),
        Quantity("disc_height_anterior", "Anterior disc height", _HEIGHT, _ANTERIOR, "mm", "disc"),
        Quantity("disc_height_middle", "Middle disc height", _HEIGHT, _MIDDLE, "mm", "disc"),
        Quantity("disc_height_posterior", "Posterior disc height", _HEIGHT, _POSTERIOR, "mm", "disc"),
        Quantity(
            "canal_area", "Canal area", private("CANALAREA", "Canal area at vertebral level"), None, "mm2", "level"
        ),
        Quantity("cord_area", "Cord area", private("CORDAREA", "Cord area at vertebral level"), None, "mm2", "level"),
        Quantity(
            "canal_ap_diameter",
            "Canal AP diameter",
            private("CANALAP", "Anteroposterior canal diameter"),
            None,
            "mm",
            "level",
        ),
        Quantity("slip", "Slip", private("SLIP", "Slip on the vertebra below"), None, "mm", "vertebra"),
        Quantity("lordosis_cervical", "Cervical lordosis", _COBB, None, "deg", "spine"),
        Quantity("kyphosis_thoracic", "Thoracic kyphosis", _COBB, None, "deg", "spine"),
        Quantity("lordosis_lumbar", "Lumbar lordosis", _COBB, None, "deg", "spine"),
    )
}
"""Every number a report can hold. For `structure_volume` the subject is the structure id, otherwise an instance id."""

FLAGS: dict[str, str] = {
    "numbering-anomaly": "an unusual number of vertebrae",
    "numbering-uncertain": "another numbering is nearly as likely",
    "counted": "vertebrae are counted from the top, not named",
    "cut-by-field-of-view": "a level is cut by the field of view",
    "disc-missing": "no disc was found between two vertebrae",
    "unmatched": "components that match nothing else",
    "instance-phase-failed": "vertebrae could not be told apart",
    "labelling-failed": "levels could not be named",
    "folds-disagree": "the folds of the model disagree",
    "slice-filled": "a missing slice was filled in",
    "structure-absent": "a structure was not found",
    "demonstration-model": "demonstration model trained on synthetic spines, not for diagnosis or measurement",
    "labellers-disagree": "two labellers disagree",
}
"""Keys of report flags and what each says in general."""
