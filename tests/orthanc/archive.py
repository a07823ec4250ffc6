"""A real Orthanc as any PACS, without our plugin; a standalone node reads from it and sends to it."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

from scripts.viewing.orthanc_server import OrthancOptions, get, running
from tests.orthanc.doors import whole_study
from tests.orthanc.place import LOCKED, USER, Place, arrived, nodes, wait_for

NODE_PORT = 11112
SPINEPS = (sys.executable, "-m", "spineps_pacs")


def options(place: Place) -> OrthancOptions:
    """Orthanc with DICOMweb; it knows the node as a modality, so that it can send there what the node asks for."""
    more = LOCKED | {"DicomModalities": {"node": ["SPINEPS", "127.0.0.1", NODE_PORT]}}
    return OrthancOptions(place.folder, more=more, root=place.root)


def configure(place: Place) -> None:
    """A node that reads by C-FIND and C-MOVE, and by QIDO and WADO; half of the results go by C-STORE, half by STOW."""
    locked = f'user = "{USER}"\npassword_file = "password"'
    dimse = f'host = "127.0.0.1"\nport = {place.options.ports.dicom}\ncalled_ae = "ORTHANC"'
    web = f'url = "{place.url}/dicom-web"\n{locked}'
    place.config.write_text(
        f"""[node]
data_folder = "data"
min_free_gb = 0.1
[dicom]
port = {NODE_PORT}
[models]
folder = "study/truth"
[queue]
poll_s = 0.2
delivery_delay_s = 1.0
[web]
enabled = false
[[pacs]]
name = "moves"
kind = "dicom"
{dimse}
[[pacs]]
name = "web"
kind = "dicomweb"
{web}
[[destination]]
name = "by-store"
kind = "dicom"
results = ["structures", "report"]
confirm = "query"
{dimse}
[[destination]]
name = "by-stow"
kind = "stow"
results = ["levels", "picture"]
confirm = "query"
{web}
"""
    )


def fetch(place: Place, pacs: str, study_uid: str, series_uid: str) -> str:
    """One series out of the PACS into the node, to its end; the command's words. SystemExit when it fails."""
    wanted = ["--pacs", pacs, "--study", study_uid, "--series", series_uid, "--wait", "4"]
    command = [*SPINEPS, "fetch", "--config", str(place.config), *wanted]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise SystemExit(f"fetch from {pacs}: {done.stdout}{done.stderr}")
    return done.stdout


def story_archive(place: Place) -> dict[str, Any]:
    """The T2w series comes by C-MOVE, another one by WADO; the results go back by C-STORE and by STOW-RS."""
    configure(place)
    with running(options(place)) as orthanc:
        whole_study(place)
        found = {s["MainDicomTags"]["SeriesDescription"]: s["MainDicomTags"] for s in get(orthanc, "/series?expand")}
        t2 = next(name for name in found if "t2" in name.lower() and "sag" in name.lower())
        other = next(name for name in found if name != t2)
        log = (place.folder / "node.log").open("wb")
        node = subprocess.Popen([*SPINEPS, "serve", "--config", str(place.config)], stdout=log, stderr=log)
        log.close()
        wait_for(lambda: b"listening" in (place.folder / "node.log").read_bytes())
        study = get(orthanc, "/studies?expand")[0]["MainDicomTags"]["StudyInstanceUID"]
        told: dict[str, Any] = {"moved": fetch(place, "moves", study, found[t2]["SeriesInstanceUID"])}
        told["web"] = fetch(place, "web", study, found[other]["SeriesInstanceUID"])
        wait_for(lambda: arrived(orthanc) and place.node_states() == ["confirmed"])
        node.send_signal(signal.SIGTERM)
        told |= {"exit": node.wait(60), "orphans": nodes(place), "objects": objects(orthanc)}
    return told


def objects(url: str) -> dict[str, Any]:
    """The results in the PACS, and in how many studies."""
    instances = [get(url, f"/instances/{one['ID']}/simplified-tags") for one in get(url, "/instances?expand")]
    ours = [[i["Modality"], i["SOPInstanceUID"], i["StudyInstanceUID"]] for i in instances if i["Modality"] != "MR"]
    return {"objects": ours, "studies": len(get(url, "/studies"))}
