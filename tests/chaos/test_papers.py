"""A run in which something was wrong keeps what it takes to find out why; a clean one keeps nothing."""

from pathlib import Path

import pytest

from tests.chaos.checker import check
from tests.chaos.damage import late, with_fault
from tests.chaos.evidence import Evidence, Fault
from tests.chaos.example import PLAIN, at, clean
from tests.chaos.papers import Papers, evidence_in
from tests.chaos.plan import Deeds, Plan
from tests.chaos.report import Report


def reported(evidence: Evidence, plan: Plan, deeds: Deeds) -> tuple[Report, Papers]:
    """What a run with this evidence leaves."""
    papers = Papers.of(plan)
    report = Report(plan, deeds, evidence, check(evidence), started=4, rested=1.0)
    papers.keep(report)
    papers.story(deeds)
    papers.close()
    return report, papers


def test_a_failed_run_names_its_folder_last_and_tells_of_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    deeds = Deeds()
    with deeds.harming("lock a job", jobid=99):
        pass
    fault = Fault("lock a job", at(5), at(6), jobid=99)
    report, papers = reported(with_fault(late(clean()), fault), Plan(), deeds)
    assert str(report).splitlines()[-1] == f"evidence: {papers.folder}"
    told = (papers.folder / "jobs" / f"{PLAIN}.txt").read_text()
    assert "2030-01-01 12:00:13+00:00" in told.partition("# instants")[2].partition("# rows")[0]
    assert "scheduledfor" in told
    assert "lock a job" in told
    assert "lock a job jobid 99" in (papers.folder / "story.txt").read_text()
    assert "late: log" in (papers.folder / "violations.txt").read_text()
    assert check(evidence_in(papers.folder)) == report.verdict


def test_a_clean_run_keeps_what_was_asked_for_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    report, papers = reported(clean(), Plan(), Deeds())
    assert "evidence: " not in str(report)
    assert not papers.folder.exists()
    _, papers = reported(clean(), Plan(folder=tmp_path / "asked"), Deeds())
    assert papers.folder.exists()


def test_a_report_counts_what_became_of_the_occurrences() -> None:
    report = Report(Plan(), Deeds(), clean(), check(clean()), started=4, rested=1.0)
    assert (
        "finished 70, failed 1, skipped 5 (paused 1, misfire 1, deleted 1, overlap 1, superseded 1),"
        " missed 2 counted by runs and 4 by skips"
    ) in str(report)


def test_a_kind_of_fault_that_the_machine_does_not_allow_is_told() -> None:
    deeds = Deeds(omitted={"fill the disk": "not here: that needs root"})
    report = Report(Plan(), deeds, clean(), check(clean()), started=4, rested=1.0)
    assert "not here: that needs root" in str(report)
