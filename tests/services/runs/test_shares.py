"""Shares of places: no job, host or tag takes all, what nobody wants is lent, and nobody waits for ever."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_api.database.runs.counting import Bound
from scheduler_api.database.runs.due import DueLog, JobRules
from scheduler_api.services.runs.breakers import HOST_BREAKS
from scheduler_api.services.runs.concurrency import Admitted, Bounds
from scheduler_api.services.runs.shares import Asking, Reach, Room, share_out, thresholds
from tests.factories import NOON

UNBOUND = 1000


@pytest.mark.parametrize(
    ("places", "wanted"),
    [
        (1, (1, 1, 1, 1)),
        (2, (1, 1, 1, 2)),
        (10, (9, 9, 9, 10)),
        (50, (41, 43, 45, 50)),
        (200, (160, 170, 180, 200)),
    ],
)
def test_the_last_places_are_for_newcomers(places: int, wanted: tuple[int, ...]) -> None:
    assert thresholds(places) == wanted


@given(st.integers(1, 10_000))
def test_a_tenth_of_any_number_of_places_is_kept_and_the_rest_is_lent(places: int) -> None:
    lent, job, host, newcomer = thresholds(places)
    assert 1 <= lent <= job <= host <= newcomer == places
    assert newcomer - host == (max(1, places // 10) if places > 1 else 0)
    assert lent >= places * 0.8 - 1


def asking(*calls: int, limit: int = UNBOUND) -> list[Asking]:
    """Hosts with so many calls under way; the later ones ask for longer."""
    return [Asking(str(n), NOON - timedelta(seconds=n), one, limit) for n, one in enumerate(calls)]


@pytest.mark.parametrize(
    ("hosts", "places", "wanted"),
    [
        (asking(0, 0), 10, {"0": 5, "1": 5}),
        (asking(0, 0), 11, {"0": 5, "1": 6}),
        (asking(6, 0), 4, {"1": 4}),
        (asking(6, 0), 10, {"0": 2, "1": 8}),
        (asking(0, 0, 0), 2, {"1": 1, "2": 1}),
        (asking(0, 0, limit=3), 10, {"0": 3, "1": 3}),
        (asking(0), 0, {}),
        ([], 10, {}),
    ],
)
def test_places_go_to_those_who_have_the_fewest(
    hosts: Sequence[Asking], places: int, wanted: dict[str, int]
) -> None:
    assert share_out(hosts, places) == wanted


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30), st.integers(0, 9)), max_size=12),
    st.integers(0, 100),
)
def test_shares_are_even_and_nothing_is_left_that_somebody_wants(
    hosts: list[tuple[int, int, int]], places: int
) -> None:
    asked = [
        Asking(str(n), NOON + timedelta(seconds=since), calls, limit)
        for n, (calls, limit, since) in enumerate(hosts)
    ]
    shares = share_out(asked, places)
    assert sum(shares.values()) == min(places, sum(one.limit for one in asked))
    for one in asked:
        given_to_it = shares.get(one.host, 0)
        assert given_to_it <= one.limit
        if given_to_it == one.limit:
            continue
        # It could take more: nobody that got one has more than it would have had with it.
        for other in asked:
            if shares.get(other.host, 0):
                assert other.calls + shares[other.host] <= one.calls + given_to_it + 1


Rows = list[dict[str, Any]]


class Replica:
    """One replica, as its claims see it: what is due and what is under way."""

    def __init__(self, places: int, hostmost: int) -> None:
        self.places, self.hostmost = places, hostmost
        self.due: list[tuple[int, DueLog, tuple[str, ...]]] = []
        self.running: dict[int, tuple[int, DueLog, tuple[str, ...]]] = {}
        self.waited: dict[int, int] = {}
        self.created = 0
        self.jobids: dict[tuple[int, tuple[str, ...]], int] = {}

    def arrive(self, job: int, host: str, tags: tuple[str, ...]) -> None:
        self.created += 1
        at = NOON + timedelta(seconds=self.created)
        # All runs of a job have its tags.
        jobid = self.jobids.setdefault((job, tags), len(self.jobids) + 1)
        self.due.append(
            (self.created, DueLog(self.created, jobid, at, "manual", 1, host, None, 0, at, None), tags)
        )

    def rows(self, *, tight: bool) -> list[Bound]:
        jobs, hosts, tags = Counter[int](), Counter[str](), Counter[str]()
        for _, entry, named in self.running.values():
            jobs[entry.jobid] += 1
            hosts[str(entry.host)] += 1
            tags.update(named)
        return [
            *(Bound("job", "", job, n, n, None, None, None) for job, n in jobs.items()),
            *(Bound("host", host, 0, 0, n, None, None, None) for host, n in hosts.items()),
            *(Bound("busy tag", tag, 0, 0, n, None, None, None) for tag, n in tags.items() if tight),
        ]

    def claim(self, now: datetime = NOON) -> list[Admitted]:
        limits = thresholds(self.places)
        first, second, third, fourth = (max(0, limit - len(self.running)) for limit in limits)
        room = Room((first, second, third, fourth))
        bounds = Bounds(self.rows(tight=third <= 0), now, self.hostmost, HOST_BREAKS, room)
        since: dict[str, datetime] = {}
        for _, entry, _ in self.due:
            since.setdefault(str(entry.host), entry.scheduledfor)
        shares = Counter(bounds.shares(since))
        closed, looked = bounds.closed, []
        busy = {entry.jobid for _, entry, _ in self.running.values()} if closed.idle else set()
        for _, entry, named in self.due:
            if shares[str(entry.host)] and entry.jobid not in busy and not {*named} & {*closed.tags}:
                shares[str(entry.host)] -= 1
                looked.append(entry)
        named_by = {number: named for number, _, named in self.due}
        known = {entry.jobid: _rules(entry, named_by[entry.logid]) for entry in looked}
        bounds = Bounds(self.rows(tight=room.is_tight(len(looked))), now, self.hostmost, HOST_BREAKS, room)
        admitted = bounds.admit(looked, known)
        taken = {one.log.logid for one in admitted}
        self.running |= {one[0]: one for one in self.due if one[0] in taken}
        self.due = [one for one in self.due if one[0] not in taken]
        return admitted


def _rules(entry: DueLog, tags: Sequence[str]) -> JobRules:
    return JobRules(entry.jobid, "http", None, "once", 60, True, None, [*tags], "default", False, False, 0)


RUNS = st.tuples(
    st.integers(1, 6),
    st.sampled_from(["a", "b", "c", "d"]),
    st.lists(st.sampled_from(["x", "y", "z"]), max_size=2, unique=True).map(tuple),
)
STEPS = st.lists(st.one_of(RUNS, st.integers(0, 50), st.none()), max_size=60)


@given(st.integers(2, 30), st.integers(1, 12), STEPS)
def test_what_is_kept_never_goes_to_those_who_have_something(
    places: int, hostmost: int, steps: list[Any]
) -> None:
    replica = Replica(places, hostmost)
    lent, job, host, _ = thresholds(places)
    for step in steps:
        if isinstance(step, tuple):
            replica.arrive(*step)
        elif step is not None and replica.running:
            replica.running.pop(sorted(replica.running)[step % len(replica.running)])
        before = list(replica.running.values())
        for one in replica.claim():
            number, entry, tags = replica.running[one.log.logid]
            under_way = len(before)
            if under_way >= lent:
                assert entry.jobid not in {other.jobid for _, other, _ in before}
            if under_way >= job:
                assert entry.host not in {other.host for _, other, _ in before}
            if under_way >= host:
                assert not {*tags} & {tag for _, _, named in before for tag in named}
            before.append((number, entry, tags))
        assert len(replica.running) <= places


@given(st.integers(1, 12), st.integers(1, 12), st.lists(RUNS, min_size=1, max_size=25), st.data())
def test_nobody_waits_for_ever_while_calls_end(
    places: int, hostmost: int, first: list[Any], data: st.DataObject
) -> None:
    """Whoever waits gets a place, though others arrive all the time, and any one of the calls ends next."""
    replica = Replica(places, hostmost)
    for one in first:
        replica.arrive(*one)
    waiting = {number for number, _, _ in replica.due}
    # A call lasts for so many rounds at most.
    longest, ages = 4, Counter[int]()
    for _ in range(longest * (len(first) + 1) * 8):
        replica.claim()
        waiting -= replica.running.keys()
        if not waiting:
            return
        ages.update(replica.running.keys())
        ends = {number for number in replica.running if ages[number] >= longest}
        if replica.running:
            ends.add(data.draw(st.sampled_from(sorted(replica.running))))
        for number in ends:
            replica.running.pop(number)
        for one in data.draw(st.lists(RUNS, max_size=3)):
            replica.arrive(*one)
    raise AssertionError(f"{len(waiting)} still wait")


def test_those_who_hold_least_get_what_is_given_back() -> None:
    """A slow host does not creep up on a fast one: it stays at its share while the other wants places."""
    replica = Replica(100, UNBOUND)
    for job in range(2000):
        replica.arrive(job, "slow" if job % 2 else "fast", ())
    for _ in range(10):
        replica.claim()
        hosts = Counter(entry.host for _, entry, _ in replica.running.values())
        assert hosts["slow"] <= 43
        for number in [n for n, (_, entry, _) in replica.running.items() if entry.host == "fast"]:
            replica.running.pop(number)
    assert Counter(entry.host for _, entry, _ in replica.running.values()) == {"slow": 43}


def test_what_nobody_wants_is_lent() -> None:
    replica = Replica(100, UNBOUND)
    for job in range(200):
        replica.arrive(job, "only", ())
    admitted = replica.claim()
    assert [one.reach for one in admitted] == [Reach.NEWCOMER, *[Reach.JOB] * 84]
