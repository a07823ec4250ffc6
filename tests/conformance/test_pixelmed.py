"""The report through PixelMed's SR validator (templates of 2022): nothing but what was looked at and found wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from absent import absent

from conformance.gallery import exhibit, run

JARS = [
    Path("/usr/share/java") / name for name in ("pixelmed.jar", "commons-codec.jar", "slf4j-api.jar", "slf4j-jdk14.jar")
]
UNLIMITED = [f"-Djdk.xml.{limit}=0" for limit in ("xpathExprOpLimit", "xpathExprGrpLimit", "xpathTotalOpLimit")]
"""Without these the validator's own style sheets are refused by Java."""
QUICKER = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]

EXCUSED = {
    # category, algorithm, method, flags and comments came into the templates after 2022
    r"^Warning: .*Content Item not in template$",
    # groups of TID 1410, 1411 and 1501 are tested as if they were one of the others
    r"Template 14(10|11) .*within .*Measurement Group.*: Missing conditional content item",
    # one letter's case in the meaning that highdicom writes; meanings are for people
    r"\(121232,DCM,.*has different code meaning",
    # a property of a measurement is HAS PROPERTIES (TID 310, 311); the same is said of the standard's own descriptors
    r"\[Row 1[34]\] NUM \*.*expected INFERRED FROM - found HAS PROPERTIES",
    # not measured: a qualifier of context group 42 stands in place of the value
    r"Template 1419 .*NUM \(\w+,\w+,.*\): Missing value$",
}
"""What may be said, with the reason why it is wrong."""

SHOWN = [
    "one level",
    *(
        pytest.param(name, marks=pytest.mark.long)
        for name in ("orientation 3", "counted", "T13", "nothing found", "charset latin-1")
    ),
]


def _findings(said: str) -> list[str]:
    lines = [line.strip() for line in said.splitlines() if line.startswith(("Error", "Warning"))]
    return [line for line in lines if not any(re.search(pattern, line) for pattern in EXCUSED)]


@pytest.fixture(autouse=True)
def _jars() -> None:
    """The validator is a library of Debian; without it the test is skipped by name, in CI it fails."""
    if all(jar.exists() for jar in JARS):
        return
    absent("libpixelmed-java is not installed")


@pytest.mark.real("java")
@pytest.mark.parametrize("name", SHOWN)
def test_the_validator_has_no_true_finding(name: str) -> None:
    """IOD and templates are recognised; every remark that is left has been judged."""
    classes = ":".join(map(str, JARS))
    shown = exhibit(name).file("report")
    _, said = run("java", [*QUICKER, *UNLIMITED, "-cp", classes, "com.pixelmed.validate.DicomSRValidator", shown])
    assert "Found Comprehensive3DSR IOD" in said
    assert "Found Root Template TID_1500" in said
    assert "Root Template Validation Complete" in said
    assert _findings(said) == []
