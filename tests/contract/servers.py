"""Stand-ins for clouds, on loopback: moto's server for S3, Azurite for Azure; each a process of its own."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

AZURITE = json.loads(Path(__file__).with_name("azurite.json").read_text(encoding="utf-8"))
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's well-known account, the same everywhere; it opens nothing else."""


def free_port() -> int:
    """Return a port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(argv: list[str], port: int, log: Path) -> Iterator[int]:
    """Run a server until the block ends; yield its port once it answers."""
    with (
        log.open("wb") as out,
        subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=log.parent) as server,
    ):
        try:
            _await(server, port, log)
            yield port
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()


def _await(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if server.poll() is not None:
            break
        time.sleep(0.1)
    raise AssertionError(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")


@contextlib.contextmanager
def moto(folder: Path) -> Iterator[str]:
    """Run moto's server (S3, KMS and the rest of AWS); yield its address."""
    port = free_port()
    argv = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("moto_server.py")), str(port)]
    with serving(argv, port, folder / "moto.log"):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def azurite(folder: Path) -> Iterator[str]:
    """Run Azurite's blob service; yield its address. Skips, with the line that helps, where it cannot be had."""
    program = install_azurite()
    port = free_port()
    argv = ["node", str(program), "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    options = ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent", "--loose"]
    with serving([*argv, *options], port, folder / "azurite.log"):
        yield f"http://127.0.0.1:{port}/{ACCOUNT}"


def install_azurite() -> Path:
    """Return Azurite's blob program, installed once by npm into a cache folder, in the version and content pinned beside this."""
    name, version, integrity = (str(AZURITE[key]) for key in ("name", "version", "integrity"))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pitstop-tests"
    where = cache / f"{name}-{version}"
    program = where / "node_modules" / name / "dist/src/blob/main.js"
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("Azurite needs Node.js and npm. On Debian: apt-get install nodejs npm")
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (where / "installed").exists():
            _npm_install(where, f"{name}@{version}")
            found = json.loads((where / "node_modules/.package-lock.json").read_text(encoding="utf-8"))
            assert found["packages"][f"node_modules/{name}"]["integrity"] == integrity, "npm has another Azurite"
            (where / "installed").touch()
    return program


def _npm_install(where: Path, package: str) -> None:
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir()
    options = ["--ignore-scripts", "--omit=dev", "--omit=optional", "--no-audit", "--no-fund", "--loglevel=error"]
    argv = ["npm", "install", "--prefix", str(where), *options, package]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=280, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:]
        pytest.skip(f"Azurite cannot be had ({' '.join(last)}). It is installed by: npm install {package}")
