"""A stage of a Dockerfile as the root of a Debian in a folder: made step by step, entered by chroot."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.images.dockerfile import Stage, Step

PYTHON = ("python3", "python3-venv", "python3-pip", "python-is-python3", "ca-certificates")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LENT = ("/etc/resolv.conf", "/etc/pip.conf", "/etc/ssl/certs", "/root/.npmrc")
"""This machine's own way to package registries, where it has one; lent to a root while a step runs."""
TOLD = re.compile(r"(PIP_\w+|SSL_CERT_\w+|CURL_CA_BUNDLE|REQUESTS_CA_BUNDLE|NODE_EXTRA_CA_CERTS)")
NOTED = ("LABEL", "EXPOSE", "VOLUME")


@dataclass
class Root:
    """A stage in the making: where it lies, and what later steps and the started program go by."""

    name: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0"
    shell: list[str] = field(default_factory=lambda: ["/bin/sh", "-c"])
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    def enter(self, command: list[str], arguments: dict[str, str] | None = None, lend: bool = True) -> list[str]:
        """The command line that runs something inside; `lend`: with this machine's way to the registries."""
        paths = [path for path in (*LENT, *_local_indexes()) if lend and Path(path).exists()]
        told = {name: value for name, value in os.environ.items() if lend and TOLD.fullmatch(name)}
        words = [
            f"{k}={v}"
            for k, v in ({"PATH": PATH, "HOME": "/root"} | told | self.environment | (arguments or {})).items()
        ]
        mounts = [f"mount --rbind {path} {self.folder}{path}" for path in ("/proc", "/dev")]
        for path in paths:
            target = shlex.quote(f"{self.folder}{path}")
            make = f"mkdir -p {target}" if Path(path).is_dir() else f"mkdir -p $(dirname {target}) && touch {target}"
            mounts.append(f"{make} && mount --bind {path} {target}")
        inside = [
            "chroot",
            f"--userspec={self.user}",
            str(self.folder),
        ]
        full = [*inside, "env", "-i", *words, "sh", "-c", f"cd {self.workdir} && exec {shlex.join(command)}"]
        return ["sh", "-c", " && ".join([*mounts, f"exec {shlex.join(full)}"])]

    def serve(self, limit_s: int = 900) -> int:
        """Starts the image's program as its user, in namespaces of its own; waits for its health check, and ends it."""
        program = shlex.join(self.enter([*self.entrypoint, *self.command], lend=False))
        check = shlex.join(self.enter(self.health, lend=False))
        script = f"""ip link set lo up
{program} &
for n in $(seq {limit_s // 3}); do sleep 3; {check} >/dev/null 2>&1 && echo healthy && break; done
kill -TERM $!; wait $! && echo ended"""
        command = ["unshare", "-nmp", "--fork", "--kill-child", "sh", "-c", script]
        told = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True).stdout.split()
        print(f"{self.name}: {'its health check passed' if 'healthy' in told else 'its health check did NOT pass'}")
        print(f"{self.name}: {'it ended on SIGTERM' if 'ended' in told else 'it did NOT end well on SIGTERM'}")
        return 0 if {"healthy", "ended"} <= set(told) else 1


class Builder:
    """Makes the roots of stages, each once."""

    def __init__(self, folder: Path, stages: dict[str, Stage], keep: Sequence[str] = ()) -> None:
        self._folder = folder
        self._stages = stages
        self._built = {name: self._as_it_lies(name) for name in keep}

    def build(self, name: str) -> Root:
        """The root of a stage, with all that it copies from."""
        if name in self._built:
            return self._built[name]
        stage = self._stages[name]
        for other in sorted(stage.needs()):
            self.build(other)
        root = self._base(stage)
        for step in stage.steps:
            self._do(root, stage, step)
        self._built[name] = root
        return root

    def _as_it_lies(self, name: str) -> Root:
        """A root that was built before: nothing is executed, only how it is started is read."""
        root = Root(name, self._folder / name)
        for step in self._stages[name].steps:
            note(root, step)
        return root

    def _base(self, stage: Stage) -> Root:
        if stage.base in self._built:
            raise SystemExit(f"{stage.name}: a stage on top of a stage is not known here")
        image, _, tag = stage.base.partition(":")
        suite = next((s for s in ("bookworm", "trixie", "sid") if s in tag), "")
        packages = {"python": PYTHON, "debian": ("ca-certificates",)}.get(image)
        if not suite or packages is None:
            raise SystemExit(f"{stage.name}: nothing here takes the place of {stage.base}")
        base = self._folder / f"base-{image}-{suite}"
        subprocess.run(["scripts/debian-root", suite, str(base), *packages], check=True)
        folder = self._folder / stage.name
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(["cp", "-a", str(base), str(folder)], check=True)
        _say(stage, f"FROM {stage.base}", f"in its place: Debian {suite}, {' '.join(packages)}")
        return Root(stage.name, folder)

    def _do(self, root: Root, stage: Stage, step: Step) -> None:
        match step.keyword:
            case "RUN":
                self._run(root, stage, step)
            case "COPY":
                self._copy(root, step)
            case "WORKDIR":
                _inside(root, step.rest).mkdir(parents=True, exist_ok=True)
        note(root, step)
        _say(stage, f"{step.keyword} {step.rest}", "noted" if step.keyword in NOTED else "done")

    def _run(self, root: Root, stage: Stage, step: Step) -> None:
        began = time.monotonic()
        command = root.enter([*root.shell, step.rest], stage.arguments)
        done = subprocess.run(["unshare", "-m", *command], check=False, stdout=subprocess.DEVNULL)
        if done.returncode:
            raise SystemExit(f"{stage.name}: exit code {done.returncode} of RUN {step.rest[:100]}")
        print(f"{stage.name}: {time.monotonic() - began:.0f} s", end=" ")

    def _copy(self, root: Root, step: Step) -> None:
        words = step.words
        source = Path()
        if words[0].startswith("--from="):
            source = self._built[words.pop(0).removeprefix("--from=")].folder
        *names, target = words
        into = _inside(root, target if target.startswith("/") else f"{root.workdir}/{target}")
        for name in names:
            for found in source.resolve().glob(name.strip("/")):
                into_folder = target.endswith("/") and found.is_file()
                destination = into / found.name if into_folder else into
                destination.parent.mkdir(parents=True, exist_ok=True)
                subprocess.run(
                    ["cp", "-a", "--no-target-directory", "--no-preserve=ownership", found, str(destination)],
                    check=True,
                )


def note(root: Root, step: Step) -> None:
    """What later steps and the started program go by."""
    match step.keyword:
        case "WORKDIR":
            root.workdir = step.rest
        case "ENV":
            name, _, value = step.rest.partition("=")
            root.environment[name] = value.replace("$PATH", PATH)
        case "USER":
            root.user = step.rest
        case "SHELL":
            root.shell = step.words
        case "ENTRYPOINT":
            root.entrypoint = step.words
        case "CMD":
            root.command = step.words
        case "HEALTHCHECK":
            root.health = Step("CMD", step.rest.partition("CMD")[2].strip()).words
        case keyword if keyword not in {*NOTED, "RUN", "COPY"}:
            raise SystemExit(f"{root.name}: {keyword} is not known here")


def _inside(root: Root, path: str) -> Path:
    return root.folder / path.lstrip("/")


def _local_indexes() -> list[str]:
    """Folders of this machine that pip's own configuration names."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    words = re.findall(r"(?:file://)?(/[^\s']+)", listed.stdout)
    return sorted(
        {
            f"/{word.split('/')[1]}/{word.split('/')[2]}"
            for word in words
            if word.count("/") > 1 and word.startswith("/opt/")
        }
    )


def _say(stage: Stage, step: str, outcome: str) -> None:
    print(f"{stage.name}: {step[:90]}  -- {outcome}", flush=True)
