"""Memory of backups: the resident peak of each job on a big cluster and on a small one, to show that it does not grow."""

from __future__ import annotations

from collections.abc import Callable

from tests.benchmarks.ground import Ground, Options
from tests.benchmarks.measuring import Cost
from tests.benchmarks.ours import Pitstop
from tests.benchmarks.summary import Headline, Report, Requirement

ABOUT = "memory of the jobs of base backup, restore, scrub and dump, on a big and a small cluster"
NEEDS = ("PostgreSQL 15",)
SMALL_MB = 150
_AT_MOST_MIB = 128
_MIB = 2**20


def run(ground: Ground, options: Options) -> Report:
    """Let each job work on each cluster and take its peaks; the highest of each counts."""
    runs = options.repeats(3, quick=1)
    big_mb = options.size(2_000, quick=400)
    peaks: dict[str, dict[int, float]] = {}
    sizes: dict[int, int] = {}
    for size_mb in dict.fromkeys((SMALL_MB, big_mb)):
        cluster = ground.cluster(size_mb)
        sizes[size_mb] = cluster.bytes
        for job, step in _jobs(Pitstop(cluster)).items():
            highest = max(step().peak_bytes for _ in range(runs))
            peaks.setdefault(job, {})[size_mb] = highest / _MIB
    return Report(
        name="backup-memory",
        conditions=f"resident peak in MiB (VmHWM, summed over the job's processes), highest of {runs}",
        headers=("job", *(f"{size / 1e6:.0f} MB" for size in sizes.values())),
        rows=[(job, *(f"{found[size_mb]:.0f}" for size_mb in sizes)) for job, found in peaks.items()],
        data={
            "cluster_bytes": list(sizes.values()),
            "peaks_mib": {job: [round(peak, 1) for peak in found.values()] for job, found in peaks.items()},
        },
        requirements=[
            Requirement(f"{job} of the big cluster", found[big_mb], _AT_MOST_MIB, "MiB") for job, found in peaks.items()
        ],
        headlines=[
            Headline(
                f"memory of a job, {sizes[big_mb] / 1e9:.1f} GB",
                "",
                more=", ".join(f"{job} {found[big_mb]:.0f} MiB" for job, found in peaks.items()),
                wanted=f"{_AT_MOST_MIB} MiB",
            )
        ],
    )


def _jobs(ours: Pitstop) -> dict[str, Callable[[], Cost]]:
    """Return what is measured, in an order in which each finds what it needs."""
    return {"base backup": ours.back_up, "restore": ours.restore_anew, "scrub": ours.scrub, "dump": ours.dump}
