"""The second labeller's part of the command `models`: listed, installed by address or from files, removed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spineps_pacs.settings import Settings

SMALL_FOV = "small-fov"


def second_labeller(root: Path | None) -> list[dict[str, str]]:
    """One row where its folder is there, as JSON has it."""
    if root is None or not (root / SMALL_FOV).is_dir():
        return []
    return [{"name": SMALL_FOV, "kind": SMALL_FOV, "version": "", "folder": str(root / SMALL_FOV)}]


def install_second(root: Path, files: Sequence[Path], configured: Settings | None) -> None:
    """Its two networks, from the files given or from their release."""
    from spineps_pacs.engines import small_fov_install

    root.mkdir(parents=True, exist_ok=True)
    if files:
        placed = small_fov_install.install_networks_from(files, root)
    else:
        address = configured.second_opinion.release_address if configured else small_fov_install.BASE_ADDRESS
        placed = small_fov_install.install_networks(root, address)
    print(f"installed {SMALL_FOV} in {placed}")


def remove_second(root: Path) -> None:
    """Deletes its folder and its record."""
    from spineps_pacs.engines.small_fov_install import remove_networks

    remove_networks(root)
    print(f"removed {SMALL_FOV}")
