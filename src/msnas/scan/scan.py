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
from msnas.scan.show import Watch, show_best, show_choices, show_damage, show_failures, show_preview
from msnas.scan.work import ImpossibleRun, RunWork, pretrainings
from msnas.settings import check_scan_settings
from msnas.terminal import say

SCANS = Path("sweeps")


@final
class Scan:
    """The given runs, worked off by an engine.

    `settings` are those of sweep.yaml; what is missing has its default: `retry_failed`, `dry_run`,
    `report`, `scan.name`.
    """

    def __init__(
        self,
        runs: Sequence[RunWork],
        impossible: Sequence[ImpossibleRun],
        *,
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
        jobs = [[run.key for run in runs], [one.overrides for one in impossible]]
        folder = SCANS / check_name(str(name or digest(jobs)[:8]), key="scan.name")
        for run in runs:  # trackers that group runs show those of a scan together
            if run.plan.config["logger"].get("group", "") is None:
                run.launched_as.append(f"logger.group='{folder.name}'")
        self.ledger = Ledger(folder, runs, impossible, command=command)

    def preview(self, *, workers: int) -> None:
        """Say what would be done; write nothing."""
        show_preview(self.ledger, self.console, workers=workers)

    def work_off(self, engine: Engine) -> bool:
        """Do what is left; say how it went, write the report. Whether all of it went well."""
        ledger, console = self.ledger, self.console
        if self.retry_failed:
            for run in ledger.runs:
                run.forget_failure()
        ledger.write()
        show_damage(ledger, console)
        runs = [run for run in ledger.runs if run.left]
        trouble = None
        if runs:
            caches = sorted({run.plan.output / "cache" for run in runs})
            os.environ.setdefault("OMP_NUM_THREADS", str(runs[0].plan.machine["threads"]))
            with Watch(ledger, console) as watch:
                try:
                    first = pretrainings(runs)
                    watch.stage = f"pre-training {len(first)} candidates" if first else ""
                    engine.work_off(first, caches=caches)
                    watch.stage = ""
                    engine.work_off(runs, caches=caches)
                except EngineError as error:
                    trouble = error
        ledger.look()
        ledger.write()
        show_best(ledger, console)
        show_choices(ledger, console)
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
        return reported and not ledger.failed and not ledger.unfinished

    def _report(self) -> bool:
        """Write the report, if there is something to report."""
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
