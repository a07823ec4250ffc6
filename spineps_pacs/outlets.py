"""Makes the parts that call others from the settings: destinations, confirmations, archives, peers, and the rules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spineps_pacs import settings
from spineps_pacs.delivery.rules import Rule
from spineps_pacs.domain.errors import SettingsError
from spineps_pacs.domain.ports import Confirmation, Destination
from spineps_pacs.settings import Settings, secret

if TYPE_CHECKING:
    import ssl

    from spineps_pacs.delivery.peer import Peer, TlsFiles
    from spineps_pacs.delivery.web import WebPeer
    from spineps_pacs.intake.query import Archive


def destination(d: settings.Destination, current: Settings) -> Destination:
    """The part that sends to one destination."""
    match d.kind:
        case "dicom":
            from spineps_pacs.delivery.dimse import DimseDestination

            return DimseDestination(d.name, peer(d, current))
        case "stow":
            from spineps_pacs.delivery.stow import StowDestination

            return StowDestination(d.name, web_peer(d))
        case "orthanc":
            from spineps_pacs.delivery.orthanc import OrthancDestination

            return OrthancDestination(d.name, web_peer(d))
        case "folder":
            from spineps_pacs.delivery.folder import FolderDestination

            return FolderDestination(d.name, d.folder or Path())


def confirmation(d: settings.Destination, current: Settings, notes: Any) -> Confirmation | None:
    """The part that asks whether a destination keeps what it accepted; None where its acceptance is enough."""
    from spineps_pacs.delivery import commitment, confirm, orthanc

    match (d.confirm, d.kind):
        case ("none", _):
            return None
        case ("commitment", "dicom"):
            return commitment.CommitmentConfirmation(peer(d, current), notes, min(d.confirm_timeout_s, 10.0))
        case ("query", "dicom"):
            return confirm.FindConfirmation(peer(d, current))
        case ("query", "stow"):
            return confirm.QidoConfirmation(d.name, web_peer(d))
        case ("query", "orthanc"):
            return orthanc.OrthancConfirmation(d.name, web_peer(d))
        case ("query", "folder"):
            return confirm.FolderConfirmation(d.folder or Path())
    raise SettingsError(f"destination {d.name!r}: storage commitment needs kind 'dicom', not {d.kind!r}")


def peer(d: settings.Destination | settings.Pacs, current: Settings) -> Peer:
    """A DICOM peer of the settings."""
    from spineps_pacs.delivery.peer import Peer

    calling = d.calling_ae or current.dicom.ae_title
    return Peer(d.host, d.port, d.called_ae or "ANY-SCP", calling, d.timeout_s, _tls_files(d.tls))


def _tls_files(given: settings.Tls | None) -> TlsFiles | None:
    from spineps_pacs.delivery.peer import TlsFiles

    return None if given is None else TlsFiles(given.certificate, given.key, given.authority)


def door_tls(now: settings.Dicom) -> ssl.SSLContext | None:
    """TLS of our own DICOM port, where it is wanted."""
    from spineps_pacs.intake.gate import tls_context

    if now.tls is None:
        return None
    authority = str(now.tls.authority or "")
    return tls_context(str(now.tls.certificate), str(now.tls.key), authority, now.tls.require_client)


def web_peer(d: settings.Destination | settings.Pacs | settings.Orthanc) -> WebPeer:
    """An HTTP peer of the settings."""
    from spineps_pacs.delivery.web import WebPeer

    if isinstance(d, settings.Orthanc):
        return WebPeer(d.url.rstrip("/"), d.user, secret(d.password_file), timeout_s=d.timeout_s)
    if d.tls is not None and not d.url.startswith("https://"):
        raise SettingsError(f"{d.name!r} has tls, but its url does not begin with https://")
    token, tls = secret(d.token_file), _tls_files(d.tls)
    return WebPeer(d.url.rstrip("/"), d.user, secret(d.password_file), token, d.timeout_s, tls)


def archive(p: settings.Pacs, current: Settings, staging: Path, take: Callable[[Path], object]) -> Archive:
    """A PACS from which series are fetched; by DICOMweb `take` is given each file, by C-MOVE our DICOM port."""
    if p.kind == "dicomweb":
        from spineps_pacs.intake.wado import WebArchive

        return WebArchive(p.name, web_peer(p), staging, take)
    from spineps_pacs.intake.move import DimseArchive

    return DimseArchive(peer(p, current), p.move_to or current.dicom.ae_title)


def named_pacs(current: Settings, name: str) -> settings.Pacs:
    """The PACS of that name, or the only one there is."""
    able = [p for p in current.pacs if name in ("", p.name)]
    if len(able) != 1:
        known = ", ".join(p.name for p in current.pacs) or "none: add a [[pacs]] table to the configuration"
        raise SettingsError(f"which PACS? The configuration names {known}")
    return able[0]


def rule(d: settings.Destination) -> Rule:
    """What a destination takes."""
    also: dict[str, tuple[str, ...]] = {"rtstruct": ("contours",), "levels": ("vertebrae", "discs")}
    if d.labelmap:
        also = {**also, "structures": ("structures-labelmap",), "levels": (*also["levels"], "levels-labelmap")}
    kinds = tuple(kind for wanted in d.results for kind in (wanted, *also.get(wanted, ())))
    return Rule(d.name, kinds, d.sources, d.stations, d.descriptions)
