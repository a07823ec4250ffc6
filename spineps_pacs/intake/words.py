"""Words of several languages in descriptions: supporting evidence for what the data leave open, never more."""

from __future__ import annotations

import re

_SPINE = (
    r"spin(e|al)|vertebr|verteb|cervical|c[eé]rvico|thoraci[ck]|lumb|lombai?r|lombo|sacr(al|um)|scoli|kypho|myelo",
    r"\b[ctl]{1,2}[-_ ]?(sp|spine|ws)\b|\b[hbl]ws\b|\b[ctl]wk\b|\bwbs\b|wirbel|rückenmark",
    r"rachis|colonne|moelle|rachide|colonna|columna|coluna|dorso|servikal|torakal|lomber|omurga",
    r"wervel|ruggengraat|rygg|ryg(søjle|rad)|selkä|ranka|kręg|kregosl|páteř|pater\b|gerinc|σπονδυλ",
    r"позвон|шейн|грудн|пояснич|脊|椎|頸|颈|腰|척추|경추|요추",
)
_OTHER = (
    r"brain|head|skull|kopf|sch[aä]del|hirn|cr[aâ]ne|enc[eé]phal|cerveau|cerebro|cranio|neuro_?cr",
    r"knee|\bknie|genou|ginocchio|rodilla|\bhip\b|h[uü]fte|hanche|shoulder|schulter|[eé]paule|spalla|hombro",
    r"ankle|\bfoot|\bfu[sß]{1,2}\b|cheville|wrist|\bhand\b|elbow|ellenbogen|thigh|\bleg\b|\barm\b|extremit",
    r"breast|mamma|\bsein\b|\bheart|herz|c[oœ]ur\b|cardiac|\bliver|leber|\bfoie|kidney|niere|\brein\b",
    r"prostat|uterus|rectum|rektum|pelvi[sc]|becken|abdom|chest|thorax|orbit|pituit|hypophys|\btmj|\biac\b",
)
_LOCALIZER = r"locali[sz]er|lokali|\bloc\b|scout|survey|rep[eé]rage|topogram|plan[-_ ]?scan|smart ?brain|auto ?align"
_T2 = r"(?<![a-z0-9])t2(?!\*|_?star|[-_ ]?(gre|fl2d|me2d|map|mapping))"

_PATTERNS = {
    "spine": re.compile("|".join(_SPINE), re.IGNORECASE),
    "other": re.compile("|".join(_OTHER), re.IGNORECASE),
    "localizer": re.compile(_LOCALIZER, re.IGNORECASE),
    "T2": re.compile(_T2, re.IGNORECASE),
}


def word(topic: str, *descriptions: str) -> str:
    """The first word on a topic ("spine", "other", "localizer", "T2"); empty when there is none."""
    for description in descriptions:
        found = _PATTERNS[topic].search(description.replace("_", " ") if topic != "T2" else description)
        if found:
            return found.group(0)
    return ""
