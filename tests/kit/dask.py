"""A Dask cluster for tests: a scheduler and workers, each a process of its own on loopback, started by Dask's own programs."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.kit import process

START_ATTEMPTS = 3


class DaskCluster:
    """A scheduler, as a context manager; workers are added and killed by whoever uses it."""

    def __init__(self, certificate: Path | None = None) -> None:
        """With a certificate, which is its own authority and has its key in the same file, it speaks TLS alone."""
        self.certificate = certificate
        self.port = 0
        self.workers: list[subprocess.Popen[bytes]] = []
        self._folder = tempfile.TemporaryDirectory(prefix="dask-", ignore_cleanup_errors=True)
        self._scheduler: subprocess.Popen[bytes] | None = None

    @property
    def engine(self) -> str:
        """What `--engine` takes."""
        return f"{'tls' if self.certificate else 'dask'}://127.0.0.1:{self.port}"

    def _tls(self) -> list[str]:
        if self.certificate is None:
            return []
        files = [word for name in ("ca-file", "cert", "key") for word in (f"--tls-{name}", str(self.certificate))]
        return ["--protocol", "tls", *files]

    @property
    def folder(self) -> Path:
        """Where logs are."""
        return Path(self._folder.name)

    def __enter__(self) -> Self:
        for attempt in range(1, START_ATTEMPTS + 1):
            self.port = process.free_port()
            try:
                self.start()
            except RuntimeError:
                if attempt == START_ATTEMPTS:
                    self._folder.cleanup()
                    raise
            else:
                break
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill_workers()
        self.kill_scheduler()
        self._folder.cleanup()

    def start(self) -> None:
        """Starts the scheduler and returns when it listens; on the same port as before, where there was one."""
        log = self.folder / "scheduler.log"
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard", "--no-jupyter"]
        command = [sys.executable, "-m", "distributed.cli.dask_scheduler", *options, *self._tls()]
        self._scheduler = process.start(command, log)
        process.wait_ready(self._scheduler, log, lambda: process.listens(self.port))

    def kill_scheduler(self) -> None:
        """Ends it at once, as a crash would."""
        if self._scheduler is not None:
            process.stop(self._scheduler)

    def add_worker(self, threads: int = 2, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """A worker without a nanny, returned when it is part of the cluster."""
        log = self.folder / f"worker{len(self.workers)}.log"
        options = ["--host", "127.0.0.1", "--no-nanny", "--no-dashboard", "--nthreads", str(threads)]
        options += ["--local-directory", str(self.folder)]
        address = self.engine.replace("dask://", "tcp://")
        command = [sys.executable, "-m", "distributed.cli.dask_worker", address, *options, *self._tls()]
        worker = process.start(command, log, environment)
        self.workers.append(worker)
        process.wait_ready(worker, log, lambda: "Registered to" in log.read_text(errors="replace"))
        return worker

    def kill_workers(self) -> None:
        """Ends all workers, as a crash would."""
        for worker in self.workers:
            process.stop(worker)

    def logs(self) -> str:
        """All that the cluster's processes have printed."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))
