"""A real PostgreSQL of its own for tests: made, started on a free port, restarted, stopped; never run as root."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from conftest import find_program


class Postgres:
    """One cluster in a temporary folder."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="spineps-postgres-"))
        self._user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            shutil.chown(self.folder, self._user)
        self.port = _free_port()
        self._run("initdb", "-D", str(self.folder / "data"), "-A", "trust", "-U", "spineps", "--no-sync")
        self._count = 0

    def start(self) -> None:
        """Starts it and waits until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-o", options, "-l", log, "-w", "start")

    def stop(self, mode: str = "fast") -> None:
        """Stops it."""
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", mode, "-w", "stop")

    def database(self, like: str = "") -> str:
        """The address of a fresh database; `like` is the address of one that it is a copy of."""
        self._count += 1
        name, template = f"node{self._count}", ["-T", like.rpartition("/")[2]] if like else []
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "spineps", *template, name)
        return f"postgresql://spineps@127.0.0.1:{self.port}/{name}"

    def remove(self) -> None:
        """Stops it and removes everything."""
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        path = find_program(program)
        assert path is not None, f"{program} is not installed"
        command = [path, *arguments]
        if os.geteuid() == 0:
            command = ["setpriv", f"--reuid={self._user}", f"--regid={self._user}", "--clear-groups", *command]
        done = subprocess.run(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 0, done.stdout.decode(errors="replace")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
