"""How much is measured: enough to judge by, or just enough to see that everything works."""

from dataclasses import dataclass

from benchmarks.results import Target

#: Due jobs.
SHORT_PASS = 10_000


@dataclass(frozen=True)
class Sizes:
    """The sizes of one run."""

    full: bool = True
    repetitions: int = 3
    due: tuple[int, ...] = (10_000, 100_000)
    due_for_original: int = 5_000
    due_beside_history: int = 10_000
    history_for_pass: int = 1_000_000
    history_for_poll: int = 4_000_000
    polls: int = 300
    lateness_jobs: int = 1_000
    lateness_seconds: int = 60
    #: The peers' distribution is plain to see before that.
    peer_seconds: int = 15
    snapshot_jobs: int = 500
    snapshot_seconds: int = 600
    memory_due: tuple[int, int] = (1_000, 100_000)
    connections: int = 32
    http_seconds: float = 4.0
    #: Wrong ones.
    signins: int = 10_000
    pages_jobs: int = 5_000
    deliveries: int = 20_000
    #: Calls that are made at the same time.
    in_flight: tuple[int, ...] = (32, 128)
    #: Calls beside which one more is claimed.
    in_progress: int = 10_000
    checked: int = 5_000_000
    #: Runs that a migration changes, and jobs that run each second meanwhile.
    upgraded: int = 5_000_000
    upgrade_jobs: int = 500
    #: Runs in a part of history that is dropped.
    dropped: int = 1_000_000
    rush_jobs: int = 10_000
    rush_seconds: int = 30
    #: Jobs that run each second, for a quarter of an hour.
    wear_jobs: int = 2_000
    wear_seconds: int = 900
    #: Jobs, and logs of one of them.
    million: int = 1_000_000
    soak_jobs: int = 1_000
    #: Seconds between two runs of a job; of the whole.
    soak_interval: int = 60
    soak_seconds: int = 7_200

    def repetitions_of(self, due: int) -> int:
        """A pass that ends within a fraction of a second says little: it is repeated more often."""
        return self.repetitions * (3 if due <= SHORT_PASS else 1)

    def judged(self, target: Target) -> Target | None:
        """A smoke run judges nothing."""
        return target if self.full else None


FULL = Sizes()
QUICK = Sizes(
    full=False,
    repetitions=2,
    due=(2_000, 5_000),
    due_for_original=300,
    due_beside_history=1_000,
    history_for_pass=20_000,
    history_for_poll=40_000,
    polls=50,
    lateness_jobs=100,
    lateness_seconds=3,
    peer_seconds=3,
    snapshot_jobs=50,
    snapshot_seconds=6,
    memory_due=(1_000, 5_000),
    connections=8,
    http_seconds=0.5,
    signins=60,
    pages_jobs=500,
    deliveries=2_000,
    in_progress=1_000,
    checked=50_000,
    upgraded=50_000,
    upgrade_jobs=50,
    dropped=20_000,
    rush_jobs=200,
    rush_seconds=3,
    wear_jobs=100,
    wear_seconds=3,
    million=5_000,
    soak_jobs=20,
    soak_interval=2,
    soak_seconds=16,
)
