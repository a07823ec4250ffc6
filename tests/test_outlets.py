"""What the settings say of destinations becomes rules."""

from __future__ import annotations

from spineps_pacs.outlets import rule
from spineps_pacs.settings import Destination


def kinds(**keys: object) -> set[str]:
    """What a destination with these settings takes."""
    return set(rule(Destination.model_validate({"name": "a", "kind": "folder", **keys})).kinds)


def test_label_maps_go_only_where_they_are_wanted() -> None:
    """One destination may take them while its neighbour does not, and nobody loses the binary ones."""
    assert not any(kind.endswith("labelmap") for kind in kinds())
    assert kinds(labelmap=True) - kinds() == {"structures-labelmap", "levels-labelmap"}
    assert kinds(labelmap=True, results=("report",)) == {"report"}
