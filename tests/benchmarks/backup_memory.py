"""Memory of a base backup: the job's resident peak on a big cluster and on a small one, to show that it does not grow."""

from __future__ import annotations

from tests.benchmarks.ground import Ground, Options
from tests.benchmarks.ours import Pitstop
from tests.benchmarks.summary import Headline, Report, Requirement

ABOUT = "memory of a base backup's job, on a big and a small cluster"
NEEDS = ("PostgreSQL 15",)
SMALL_MB = 150
_MIB = 2**20


def run(ground: Ground, options: Options) -> Report:
    """Back each cluster up and take the job's peaks; the highest of each counts."""
    runs = options.repeats(3, quick=1)
    peaks: dict[int, list[float]] = {}
    sizes: dict[int, int] = {}
    for size_mb in dict.fromkeys((SMALL_MB, options.size(2_000, quick=400))):
        cluster = ground.cluster(size_mb)
        ours = Pitstop(cluster)
        sizes[size_mb] = cluster.bytes
        peaks[size_mb] = [ours.back_up().peak_bytes / _MIB for _ in range(runs)]
    highest = {size_mb: max(found) for size_mb, found in peaks.items()}
    big = max(highest)
    return Report(
        name="backup-memory",
        conditions=f"resident peak (VmHWM, summed over the job's processes), highest of {runs}",
        headers=("cluster", "job's peak MiB"),
        rows=[(f"{sizes[size] / 1e6:.0f} MB", f"{peak:.0f}") for size, peak in highest.items()],
        data={
            "peaks_mib": [{"cluster_bytes": sizes[size], "peak_mib": round(peak, 1)} for size, peak in highest.items()]
        },
        requirements=(
            Requirement("the big cluster", highest[big], 256, "MiB"),
            Requirement("the same, the stricter bound", highest[big], 128, "MiB"),
        ),
        headlines=[
            Headline(
                f"memory of a backup's job, {sizes[big] / 1e9:.1f} GB",
                "",
                more=f"{highest[big]:.0f} MiB",
                wanted="128 MiB",
            )
        ],
    )
