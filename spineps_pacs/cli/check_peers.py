"""What `check` asks of each destination: does it let us in by our names, and does it take our kinds of object."""

from __future__ import annotations

import os
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import requests
from pynetdicom import AE, build_context
from pynetdicom.association import Association

from spineps_pacs import outlets
from spineps_pacs.cli.check_line import Line
from spineps_pacs.domain.errors import SettingsError
from spineps_pacs.settings import Destination, Settings
from spineps_pacs.watching import web_question

VERIFICATION = "1.2.840.10008.1.1"
SOP_CLASSES = {
    "structures": ("Segmentation Storage", "1.2.840.10008.5.1.4.1.1.66.4"),
    "levels": ("Segmentation Storage", "1.2.840.10008.5.1.4.1.1.66.4"),
    "report": ("Comprehensive 3D SR Storage", "1.2.840.10008.5.1.4.1.1.88.34"),
    "picture": ("Secondary Capture Image Storage", "1.2.840.10008.5.1.4.1.1.7"),
    "presentation": ("Grayscale Softcopy Presentation State Storage", "1.2.840.10008.5.1.4.1.1.11.1"),
    "rtstruct": ("RT Structure Set Storage", "1.2.840.10008.5.1.4.1.1.481.3"),
}
"""PS3.6: the SOP class of each kind of result."""
REFUSALS = {
    (1, 3): ("does not know our calling AE title {calling!r}", "Have {calling!r} registered there, or set calling_ae."),
    (1, 7): (
        "says that it is not called {called!r}",
        "Ask for its AE title and set called_ae; mind upper and lower case.",
    ),
    (3, 2): ("has too many associations open", "Try again; if it lasts, ask for a higher limit there."),
}
"""PS3.8 table 9-21: source and reason of a rejection."""
CLOCK_SLACK_S = 60.0


def destinations(current: Settings, now: float) -> Iterator[Line]:
    """Each of them, by its kind."""
    if not current.destination:
        yield Line("destinations", True, "none is named: results stay in the data folder")
    for d in current.destination:
        match d.kind:
            case "dicom":
                yield from _dicom(d, current)
            case "folder":
                yield _folder(d)
            case _:
                yield from _web(d, now)


def _dicom(d: Destination, current: Settings) -> Iterator[Line]:
    name, wanted = f"destination {d.name}", _classes(d)
    peer = outlets.peer(d, current)
    entity = AE(peer.calling_ae)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = peer.timeout_s
    contexts = [build_context(uid) for uid in (VERIFICATION, *wanted)]
    try:
        tls = {} if peer.tls is None else {"tls_args": (peer.tls.context(), peer.host)}
        called = entity.associate(peer.host, peer.port, contexts=contexts, ae_title=peer.called_ae, **tls)
    except (OSError, RuntimeError, SettingsError) as error:
        yield Line(name, False, f"no association: {error}", "See the lines on TLS, and the network.")
        return
    if not called.is_established:
        yield _refused(name, called, peer.called_ae, peer.calling_ae)
        return
    try:
        yield from _negotiated(name, called, wanted)
    finally:
        called.release()


def _classes(d: Destination) -> dict[str, str]:
    """UID to name of the SOP classes that this destination is to get."""
    return {SOP_CLASSES[kind][1]: SOP_CLASSES[kind][0] for kind in d.results if kind in SOP_CLASSES}


def _refused(name: str, association: Association, called: str, calling: str) -> Line:
    if not association.is_rejected:
        advice = "Is it running, are host and port right, does a firewall stand between?"
        return Line(name, False, "it cannot be reached, or closed the connection without a word", advice)
    answer = association.acceptor.primitive
    key = (answer.result_source, answer.diagnostic)
    text, advice = REFUSALS.get(key, ("refuses our association (source {s}, reason {r})", "Ask its administrator."))
    words = {"called": called, "calling": calling, "s": key[0], "r": key[1]}
    return Line(name, False, f"it {text.format(**words)}", advice.format(**words))


def _negotiated(name: str, association: Association, wanted: dict[str, str]) -> Iterator[Line]:
    accepted = {str(context.abstract_syntax) for context in association.accepted_contexts}
    if VERIFICATION in accepted:
        status = association.send_c_echo().get("Status")
        yield Line(
            name, status == 0x0000, "C-ECHO was answered" if status == 0 else f"C-ECHO was answered with {status}"
        )
    else:
        yield Line(name, True, "it lets us in, and takes no C-ECHO")
    for uid, title in wanted.items():
        advice = "Have this SOP class enabled there, or leave its kind out of `results` of this destination."
        verb = "takes" if uid in accepted else "does not take"
        yield Line(f"{name}, {title}", uid in accepted, f"it {verb} {title} ({uid})", advice)


def _folder(d: Destination) -> Line:
    folder = d.folder
    there = folder is not None and folder.is_dir() and os.access(folder, os.W_OK)
    advice = "Make the folder and let the user that runs the node write there."
    return Line(f"destination {d.name}", there, f"{folder} {'can' if there else 'cannot'} be written", advice)


def _web(d: Destination, now: float) -> Iterator[Line]:
    name = f"destination {d.name}"
    try:
        answer = outlets.web_peer(d).session().get(web_question(d))
    except (requests.RequestException, SettingsError) as error:
        text = str(error) if isinstance(error, SettingsError) else f"it cannot be reached: {type(error).__name__}"
        yield Line(name, False, text, "Is it running, is the url right, does a firewall or proxy stand between?")
        return
    if answer.status_code in (401, 403):
        advice = "Renew what stands in password_file or token_file, and see that the user may store."
        yield Line(name, False, f"it refuses our user or token ({answer.status_code})", advice)
    else:
        good = answer.status_code < 400
        yield Line(name, good, f"it answers {answer.status_code}", "See whether the url leads to its DICOMweb service.")
    if "Date" in answer.headers:
        yield _same_time(d, answer.headers["Date"], now)


def _same_time(d: Destination, date: str, now: float) -> Line:
    try:
        off = now - parsedate_to_datetime(date).timestamp()
    except ValueError:
        return Line(f"clock of {d.name}", True, "it tells no time")
    text = f"our clock is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} that of {d.name}"
    return Line(f"clock of {d.name}", abs(off) <= CLOCK_SLACK_S, text, "Set both clocks by NTP.")
