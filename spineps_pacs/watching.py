"""What the desk looks at now and then and remembers: whether destinations answer, and how busy the GPUs are."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace

import requests

from spineps_pacs import outlets, settings
from spineps_pacs.domain.errors import SettingsError, SpinepsPacsError, TryAgain
from spineps_pacs.settings import Live
from spineps_pacs.web.board import Fact, GpuFact, PeerFact

GPU_TOOL = "nvidia-smi"
GPU_QUESTION = ("--query-gpu=index,name,memory.used,memory.total,utilization.gpu", "--format=csv,noheader,nounits")
GPU_ANSWER_S, MIB = 10.0, 1 << 20


class Peers:
    """Asks every destination whether it answers, and remembers what it said."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._said: dict[str, PeerFact] = {}

    def step(self) -> None:
        """Asks all of them once."""
        for destination in self._live().destination:
            self._said[destination.name] = replace(ask(destination, self._live()), asked=time.time())

    def facts(self) -> tuple[PeerFact, ...]:
        """What each said last."""
        unasked = {d.name: PeerFact(d.name, d.kind, None, "") for d in self._live().destination}
        return tuple(self._said.get(name, fact) for name, fact in unasked.items())


def ask(destination: settings.Destination, current: settings.Settings) -> PeerFact:
    """C-ECHO, a look at the web interface, or at the folder."""
    try:
        text = _answer(destination, current)
    except (TryAgain, SettingsError, OSError) as error:
        return PeerFact(destination.name, destination.kind, False, _sentence(error))
    return PeerFact(destination.name, destination.kind, True, text)


def _answer(d: settings.Destination, current: settings.Settings) -> str:
    if d.kind == "dicom":
        from pynetdicom import build_context

        with outlets.peer(d, current).association([build_context("1.2.840.10008.1.1")]) as association:
            status = association.send_c_echo().get("Status")
        if status != 0x0000:
            raise TryAgain(f"C-ECHO was answered with {'nothing' if status is None else f'{status:04X}H'}")
        return "C-ECHO answered"
    if d.kind == "folder":
        if d.folder is None or not d.folder.is_dir():
            raise TryAgain("the folder does not exist")
        return "the folder is there"
    answer = outlets.web_peer(d).session().get(web_question(d))
    if answer.status_code >= 500 or answer.status_code in (401, 403):
        raise TryAgain(f"it answers {answer.status_code}")
    return f"it answers {answer.status_code}"


def web_question(d: settings.Destination) -> str:
    """What every such server answers: Orthanc its system, DICOMweb a search that finds at most one study."""
    base = d.url.rstrip("/")
    return f"{base}/system" if d.kind == "orthanc" else f"{base}/studies?limit=1"


def _sentence(error: Exception) -> str:
    if isinstance(error, requests.RequestException):
        return f"it cannot be reached: {type(error).__name__}"
    return str(error) if isinstance(error, SpinepsPacsError) else type(error).__name__


class Gpus:
    """Asks the driver of this host's GPUs, and remembers what it said; `run` asks, a test hands in its own."""

    def __init__(self, live: Live, run: Callable[[], str | None] | None = None) -> None:
        self._live = live
        self._run = run or ask_driver
        self._said: tuple[GpuFact, ...] = ()
        self._fault = ""
        self._asked = False

    def step(self) -> None:
        """Asks once."""
        self._said, self._fault = (), ""
        try:
            answer = self._run()
            self._said = () if answer is None else tuple(map(gpu, filter(str.strip, answer.splitlines())))
        except TryAgain as reason:
            self._fault = str(reason)
        self._asked = True

    def seen(self) -> tuple[GpuFact, ...]:
        """Each GPU as it was when last asked."""
        return self._said

    def fact(self) -> Fact:
        """One line: well, not answering, wanted and absent, or absent and not needed."""
        wanted = self._live().models.device
        if self._fault:
            return Fact("GPU", False, self._fault, "Restart the host; look at its kernel log, and run nvidia-smi.")
        if self._said:
            return Fact("GPU", True, f"The driver shows {len(self._said)}.")
        if not self._asked:
            return Fact("GPU", True, "Not asked yet.")
        advice = "Install the driver, or set models.device to auto or cpu."
        return Fact("GPU", not wanted.startswith("cuda"), "This host shows none; models.device is " + wanted, advice)


def ask_driver() -> str | None:
    """What the driver's own tool says, one line a GPU; None where it is not installed."""
    if shutil.which(GPU_TOOL) is None:
        return None
    try:
        question = (GPU_TOOL, *GPU_QUESTION)
        answer = subprocess.run(question, capture_output=True, text=True, timeout=GPU_ANSWER_S, check=False)
    except (subprocess.TimeoutExpired, OSError) as error:
        raise TryAgain(f"The driver does not answer: {type(error).__name__}.") from error
    if answer.returncode:
        raise TryAgain(f"The driver answers with an error (exit code {answer.returncode}).")
    return answer.stdout


def gpu(line: str) -> GpuFact:
    """One line of the tool: number, name, MiB used and in all, percent busy; what it does not know is left open."""
    named, used, total, busy = line.rsplit(",", 3)
    number, name = named.split(",", 1)
    return GpuFact(number.strip(), name.strip(), _number(used, MIB), _number(total, MIB), _number(busy, 0.01))


def _number(text: str, unit: float) -> float | None:
    try:
        return float(text) * unit
    except ValueError:  # "[N/A]" of cards that do not tell
        return None
