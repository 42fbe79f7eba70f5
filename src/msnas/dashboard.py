"""Makes a Weights & Biases workspace: `python -m msnas.dashboard entity=<you>` (docs/wandb.md)."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING

from msnas.command_line import parse
from msnas.errors import ConfigError, MsnasError

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

RUNS_SHOWN = 100
"""Runs that W&B draws: its default of ten runs is less than a scan has."""


@dataclass
class Settings:
    """Keys of the command."""

    entity: str = field(default=MISSING, metadata={"help": "your user or team name at W&B"})
    project: str = field(default="msnas", metadata={"help": "the project of the runs"})
    name: str = field(default="msnas", metadata={"help": "name of the workspace"})
    metric: str = field(
        default="higgs_id/auc",
        metadata={"help": "the last task's metric, as <task>/<metric> in result.json"},
    )
    group: str | None = field(
        default=None, metadata={"help": "only runs of this group, such as a scan; null: all"}
    )
    update: str | None = field(
        default=None, metadata={"help": "address of a workspace to write anew; null: a new one"}
    )
    dry_run: bool = field(
        default=False, metadata={"help": "print the definition as JSON; needs no account"}
    )


def define(settings: Settings) -> Workspace:
    """The workspace: numbers against v1, losses of every stage, beliefs, and the table of chains.

    The names of metrics are those that `report.wandb_tracker` writes. Raises ConfigError if
    wandb-workspaces is not installed.
    """
    try:
        import wandb_workspaces.reports.v2.interface as panels
        import wandb_workspaces.workspaces as workspaces
        from wandb_workspaces import expr
    except ModuleNotFoundError:
        raise ConfigError(
            "wandb-workspaces is not installed; run: pip install 'msnas[dashboard]'"
        ) from None

    def against_v1(title: str, name: str) -> Any:
        return panels.ScatterPlot(
            title=title, x=panels.SummaryMetric("v1"), y=panels.SummaryMetric(name)
        )

    def curves(title: str, pattern: str) -> Any:
        return panels.LinePlot(
            title=title,
            x="epoch",
            metric_regex=pattern,
            max_runs_to_show=RUNS_SHOWN,
            legend_template="${run:displayName} ${metric}",
        )

    def section(name: str, *content: Any) -> workspaces.Section:
        return workspaces.Section(name=name, panels=list(content), is_open=True)

    test_metric, validity = f"test/{settings.metric}", "test/validity/joint"
    only = [expr.Metric("Group") == settings.group] if settings.group else []
    return workspaces.Workspace(
        entity=settings.entity,
        project=settings.project,
        name=settings.name,
        sections=[
            section(
                "Against the first task's weight v1",
                against_v1(f"{settings.metric} (test)", test_metric),
                against_v1(f"{settings.metric} (validation)", f"valid/{settings.metric}"),
                against_v1("Validity (test)", validity),
            ),
            section(
                "Losses",
                *(
                    curves(f"{words}: {part}", f"^{stage}/.*/{short}/loss$")
                    for stage, words in (
                        ("pretrain", "Pre-training"),
                        ("search", "Search"),
                        ("posttrain", "Post-training"),
                    )
                    for short, part in (("train", "training"), ("valid", "validation"))
                ),
            ),
            section(
                "Beliefs in the candidates",
                curves("alpha (DARTS)", "^search/.*/alpha/"),
                curves("theta (ASNG)", "^search/.*/theta/"),
                panels.MediaBrowser(
                    title="As figures", media_keys=["figures/alpha", "figures/theta"]
                ),
            ),
            section("Chains", panels.WeavePanelSummaryTable(table_name="chains")),
        ],
        settings=workspaces.WorkspaceSettings(max_runs=RUNS_SHOWN),
        runset_settings=workspaces.RunsetSettings(
            groupby=[expr.Metric("JobType")],  # the method
            filters=only,
            pinned_columns=[
                "run:displayName",
                "summary:v1",
                "summary:seed",
                "summary:chain",
                f"summary:{test_metric}",
                f"summary:{validity}",
            ],
        ),
    )


def definition(workspace: Workspace) -> dict[str, Any]:
    """The workspace in the JSON form that is sent to W&B."""
    view = workspace._to_model()
    return dict(view.model_dump(mode="json", by_alias=True, exclude_none=True))


def save(workspace: Workspace, *, update: str | None) -> str:
    """Write the workspace to W&B, as a new workspace or over the workspace at address `update`.

    Returns the address. Raises ConfigError without an account, or if W&B refuses.
    """
    import requests
    import wandb
    from wandb_workspaces.workspaces import Workspace

    mode = os.environ.get("WANDB_MODE", "online")
    if mode != "online":
        raise ConfigError(f"WANDB_MODE={mode} keeps W&B from the network; unset it")
    try:
        if not wandb.login(prompt=False):
            raise ConfigError(
                "not logged in to W&B; run `wandb login`, or use dry_run=true, which needs no "
                "account"
            )
        if update:
            there = Workspace.from_url(update)
            there.name, there.sections = workspace.name, workspace.sections
            there.settings = workspace.settings
            there.runset_settings = workspace.runset_settings
            workspace = there
        return str(workspace.save().url)  # type: ignore[no-untyped-call]
    except (wandb.Error, requests.RequestException, ValueError) as error:
        raise ConfigError(f"W&B did not take the workspace: {error}") from error


def main(arguments: list[str]) -> None:
    """Run the command."""
    settings = parse(
        arguments,
        Settings,
        program="python -m msnas.dashboard",
        description="Make a workspace at Weights & Biases for the runs of a project.",
    )
    try:
        workspace = define(settings)
        if settings.dry_run:
            sys.stdout.write(json.dumps(definition(workspace), indent=1) + "\n")
        else:
            sys.stdout.write(f"Workspace: {save(workspace, update=settings.update)}\n")
    except MsnasError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
