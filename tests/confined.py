"""Pitstop in other circumstances: as an ordinary user, from a folder only root can read, where namespaces are forbidden.

Run by path it prepares them and becomes the program (standard library only); imported it offers `Circumstances`.
Needs root, which can give everything up. Nothing is patched: mounts, ids and limits are the kernel's own.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import struct
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CLONE_NEWNS = 0x00020000
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
_FORBIDDEN = {"x86_64": (272, 165), "aarch64": (97, 40)}  # unshare, mount
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Circumstances:
    """Where and as whom Pitstop runs. `home` is a folder of the test; an environment is made in it that looks installed.

    `uid`: an ordinary user's. `namespaces` False: a seccomp filter refuses new ones. `memory`: folders that are small file systems
    of their own, with their sizes in bytes.
    """

    home: Path
    uid: int = 0
    namespaces: bool = True
    memory: dict[str, int] = field(default_factory=dict)

    def argv(self, *words: str, module: str = "bot") -> list[str]:
        """Return the command that runs `pitstop`, or another module, with these words."""
        program = self._environment()
        binds = {str(self.home / name): source for name, source in self._sources().items()}
        spec = {
            "binds": binds, "memory": self.memory, "uid": self.uid, "namespaces": self.namespaces,
            "opened": [str(_closed_folder()), sys.base_prefix, str(self.home / "python")] if self.uid else None,
        }  # fmt: skip
        return [sys.executable, "-I", "-S", __file__, json.dumps(spec), str(program), "-I", "-m", module, *words]

    def run(self, *words: str, module: str = "bot", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end, without a terminal and without Slack's tokens."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("SLACK_", "SUDO_", "HOME"))}
        return subprocess.run(
            self.argv(*words, module=module), capture_output=True, text=True, check=False, cwd="/", timeout=240,
            stdin=subprocess.DEVNULL, env={**env, "HOME": "/nonexistent", **environment},
        )  # fmt: skip

    def _sources(self) -> dict[str, str]:
        return {
            "python": sys.base_prefix,
            "site": sysconfig.get_paths()["purelib"],
            "pitstop": str(Path(__file__).resolve().parents[1]),
        }

    def _environment(self) -> Path:
        """Make a virtual environment by hand: its Python, packages and Pitstop itself are what is bound into `home`."""
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        site = self.home / "env" / "lib" / version / "site-packages"
        program = self.home / "env" / "bin" / "python"
        if not program.is_symlink():
            for folder in (site, program.parent, *(self.home / name for name in self._sources())):
                folder.mkdir(parents=True, exist_ok=True)
            (self.home / "env" / "pyvenv.cfg").write_text(f"home = {self.home}/python/bin\n")
            (site / "paths.pth").write_text(f"{self.home}/site\n{self.home}/pitstop\n")
            program.symlink_to(self.home / "python" / "bin" / version)
        return program


def _closed_folder() -> Path | None:
    """Return the folder above our Python that an ordinary user may not enter, or None."""
    above = [Path(sys.base_prefix), *Path(sys.base_prefix).parents]
    return next((folder for folder in reversed(above) if not folder.stat().st_mode & 0o001), None)


def main() -> None:
    """Prepare the circumstances and become the program."""
    spec: dict[str, Any] = json.loads(sys.argv[1])
    _call("unshare", libc.unshare(CLONE_NEWNS))
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    for target, source in spec["binds"].items():
        _mount(source, target, None, MS_BIND | MS_REC)
    if spec["opened"] and spec["opened"][0] != "None":
        closed, prefix, bound = spec["opened"]
        # A Python linked to its own library finds it by its first path only: it is shown there too.
        _mount("open", closed, "tmpfs", 0, "mode=0755")
        Path(prefix).mkdir(parents=True)
        _mount(bound, prefix, None, MS_BIND | MS_REC)
    for target, size in spec["memory"].items():
        Path(target).mkdir(parents=True, exist_ok=True)
        _mount("small", target, "tmpfs", 0, f"size={size}")
    if not spec["namespaces"]:
        _forbid_namespaces()
    if spec["uid"]:
        os.setgroups([])
        os.setresgid(spec["uid"], spec["uid"], spec["uid"])
        os.setresuid(spec["uid"], spec["uid"], spec["uid"])
    os.execv(sys.argv[2], sys.argv[2:])


def _forbid_namespaces() -> None:
    """Turn unshare(2) and mount(2) down for good, as the seccomp profile of a container does."""
    refuse, allow = 0x00050000 | errno.EPERM, 0x7FFF0000
    numbers = _FORBIDDEN[platform.machine()]
    load, jump_if_equal, answer = 0x20, 0x15, 0x06
    program = [(load, 0, 0, 0)]
    program += [(jump_if_equal, len(numbers) - place, 0, number) for place, number in enumerate(numbers)]
    program += [(answer, 0, 0, allow), (answer, 0, 0, refuse)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    _call("seccomp", libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0))


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    options = None if data is None else data.encode()
    _call(f"mount {target}", libc.mount(*encoded, ctypes.c_ulong(flags), options))


def _call(what: str, result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
