"""What a passphrase costs a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bot.repository.keys.passphrase import Costs

WORDS = "correct horse battery staple"


def test_the_default_price_stays_below_a_job_s_bound(tmp_path: Path) -> None:
    """Stretching with the default costs takes some 32 MiB: a whole process that wraps and opens stays below 128 MiB."""
    path = tmp_path / "passphrase"
    path.write_text(WORDS)
    path.chmod(0o600)
    program = (
        "import sys; from pathlib import Path\n"
        "from bot.repository.keys.passphrase import Passphrase\n"
        "from bot.repository.keys.ring import new_key_id\n"
        "ours = Passphrase(Path(sys.argv[1])); form = ours.wrap(new_key_id(), bytes(32))\n"
        "assert Passphrase(Path(sys.argv[1])).unwrap(form) == bytes(32)\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"
    )
    # Not `ru_maxrss`: that begins with what the process that started it had.
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert Costs().bearable
    assert 32 * 1024 < int(done.stdout) < 128 * 1024, "KiB"
