"""A scan in order: find the runs, pre-train, run, report. Imports PyTorch only if it must."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

from rich.console import Console

from msnas.config import check_name
from msnas.identity import digest
from msnas.scan.engine import Engine, EngineError
from msnas.scan.ledger import Ledger
from msnas.scan.race import ScanRace
from msnas.scan.show import Watch, show_best, show_choices, show_damage, show_failures, show_preview
from msnas.scan.work import ImpossibleRun, RunWork, folds_of, pretrainings
from msnas.settings import check_scan_settings
from msnas.terminal import say

SCANS = Path("sweeps")


@final
class Scan:
    """The given runs, and round by round the runs of `races`, done by an engine.

    `settings` are `retry_failed`, `dry_run`, `report` and `scan.name` of sweep.yaml; a missing
    setting has its default.
    """

    def __init__(
        self,
        runs: Sequence[RunWork],
        impossible: Sequence[ImpossibleRun],
        *,
        races: Sequence[ScanRace] = (),
        settings: dict[str, Any],
        experiment: str | None,
        command: Sequence[str],
        console: Console,
    ) -> None:
        self.console = console
        check_scan_settings(settings)
        self.dry_run: bool = settings.get("dry_run", False)
        self.retry_failed: bool = settings.get("retry_failed", False)
        self.report: bool = settings.get("report", True)
        name = (settings.get("scan") or {}).get("name") or experiment
        racing = [run for race in races for run in race.runs]
        jobs = [[run.key for run in [*runs, *racing]], [one.overrides for one in impossible]]
        folder = SCANS / check_name(str(name or digest(jobs)[:8]), key="scan.name")
        self.races = races
        self.ledger = Ledger(folder, [], impossible, command=command)
        self._add(runs)

    def _add(self, runs: Sequence[RunWork]) -> None:
        """Add to the ledger the runs that it does not have yet."""
        known = {id(run) for run in self.ledger.runs}
        new = [run for run in runs if id(run) not in known]
        for run in new:
            # trackers that group runs show the runs of a scan together
            if run.plan.config["logger"].get("group", "") is None:
                run.launched_as.append(f"logger.group='{self.ledger.folder.name}'")
        self.ledger.add(new)

    def _next_round(self, *, retry: bool = False) -> list[RunWork]:
        """The runs that all races need next; with `retry` runs that have failed too."""
        left = [run for race in self.races for run in race.go_on(retry=retry)]
        self._add([run for race in self.races for run in race.works.values()])
        return left

    def preview(self, *, workers: int) -> None:
        """Print which runs would be done; write nothing."""
        self._next_round()
        show_preview(self.ledger, self.console, workers=workers)
        for race in self.races:
            say(self.console, " ".join(race.words()))

    def work_off(self, engine: Engine) -> bool:
        """Do the runs left, print the outcome, write the report; return whether all went well."""
        ledger, console = self.ledger, self.console
        if self.retry_failed:
            for run in ledger.runs:
                run.forget_failure()
        self._next_round(retry=self.retry_failed)
        ledger.write()
        show_damage(ledger, console)
        runs = [run for run in ledger.runs if run.left]
        trouble = None
        if runs:
            os.environ.setdefault("OMP_NUM_THREADS", str(runs[0].plan.machine["threads"]))
            with Watch(ledger, console) as watch:
                try:
                    while runs:
                        caches = sorted({run.plan.output / "cache" for run in runs})
                        folds = [run for run in folds_of(runs) if run.left]
                        first = pretrainings([*(one for one in runs if not one.plan.folds), *folds])
                        watch.stage = f"pre-training {len(first)} candidates" if first else ""
                        engine.work_off(first, caches=caches)
                        watch.stage = f"{len(folds)} folds" if folds else ""
                        engine.work_off(folds, caches=caches)
                        watch.stage = ""
                        engine.work_off(runs, caches=caches)
                        runs = self._next_round(retry=self.retry_failed)
                except EngineError as error:
                    trouble = error
        ledger.look()
        ledger.write()
        show_best(ledger, console)
        show_choices(ledger, console)
        for race in self.races:
            say(console, " ".join(race.words()))
        show_failures(ledger, console)
        states = ledger.states()
        say(
            self.console,
            f"{states['finished']} of {sum(states.values())} runs finished, {states['failed']} "
            f"failed: {ledger.folder / 'scan.json'}",
        )
        if trouble is not None:
            say(self.console, f"error: {trouble}")
        reported = self._report()
        stuck = any(race.trouble is not None for race in self.races)
        return reported and not stuck and not ledger.failed and not ledger.unfinished

    def _report(self) -> bool:
        """Write the report if a run is finished; return False if the report failed."""
        if not self.report or not self.ledger.states()["finished"]:
            return True
        try:
            from msnas.report.build import build_report

            build_report([self.ledger.folder], self.ledger.folder / "report", self.console)
        except Exception as error:  # the runs are done: a report can be written again
            say(
                self.console,
                f"error: the report failed ({type(error).__name__}: {error}); the runs are kept, "
                f"python -m msnas.report runs={self.ledger.folder} "
                f"out={self.ledger.folder / 'report'} writes it again",
            )
            return False
        return True
