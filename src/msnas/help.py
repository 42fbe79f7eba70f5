"""What `train` and `sweep` say of themselves. Imports no PyTorch."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from hydra.errors import HydraException

from msnas.conf_folders import folders_of, parsed
from msnas.errors import MsnasError, one_line
from msnas.overrides import refusal

TRAIN = """\
msnas: declare a chain of sub-tasks with candidates for each; get back the best chain, trained.

Examples
  {train} method=spos task_weight=0.9                  the main job: Higgs or Z from two taus
  {train} data.events=all seed=3                       all embedded events, another seed
  {train} data.file=my.h5 logger=none                  your own events, no tracker
  {train} 'candidate/tau_calibration=[mlp,sf]'         which candidates take part
  {train} loss@tasks.tau_calibration.loss=squared_error  another loss for a task
  {train} problem=toy                                  a synthetic chain, seconds to train
  {train} method=grid_search                           every chain, the judge of a search
  {train} method=darts method.selection=perturbation   options of a method
  {train} method=fixed_chain method.chain=[cnn,lstm]   one chain, no search
  {train} weighting=mgda                               weights of the tasks that find themselves
  {train} conditioning=yoto conditioning.parameters=[task_weight]   one training for every v1
  {train} --config-dir mine allow=[mine]               with parts of your own (docs/extend.md)
  {sweep} method=spos,darts seed='range(0,5)'          many runs, and a report
"""

SWEEP = """\
Many runs, each one of `{train}`, and a report.
Stopped or killed at any moment, the same command goes on where it was.

Examples
  {sweep} method=spos                              nine values of v1, three seeds
  {sweep} method=spos,darts task_weight=0,0.5,0.9 seed='range(0,5)'
  {sweep} experiment=fig5                          a figure of the paper, at the size of a laptop
  {sweep} experiment=fig5 dry_run=true             what would run, and how long
  {sweep} problem=toy hydra.launcher.n_jobs=2      so many processes (default: one a core)
  {sweep} problem=toy hydra/launcher=basic         another engine; on a cluster ray, submitit_slurm

Values of a scan
  <setting>=a,b,c or 'range(0,5)'   an axis: any setting of a run can be one
  task_weight= seed=          axes unless others are given: nine values of v1, seeds 0 to 2
  scan.name=                  its folder is sweeps/<name>; else the experiment's name, or a hash
  dry_run=false               true: only say what would run
  retry_failed=false          true: repeat the runs that have failed
  report=true                 false: no report at the end
"""

RUN = """
Groups (choose with group=option)
{groups}

Values of a run (change with key=value)
  task_weight=0.9             weight v1 of the first of two tasks, 0 to 1; default 0.5
  task_weights.<task>=w       weights of any chain, normalised to 1
  seed=0                      same configuration and seed, same numbers
  data.file= data.events=N|all data.split_seed=
  tasks.<task>.candidates.<name>.<key>=    a parameter of a candidate
  recipe.<stage>.epochs= recipe.<stage>.batch= recipe.<stage>.patience=
                              stages: pretrain, search, posttrain
  pretrain.enabled=true       pre-train every candidate on the truth first
  output=runs force=false     where runs go; repeat a finished one
  allow=[]                    packages beside msnas whose classes may be named

The composed configuration: {command} --cfg job        Shell completion: --hydra-help
"""


def help_text(command: str, words: Sequence[str]) -> str:
    """The help of a command as it was typed; the groups are read from all folders.

    Ends the process with one line for a folder that is none.
    """
    try:
        folders = folders_of(parsed(words))
    except MsnasError as error:
        sys.exit(f"error: {one_line(error)}")
    except HydraException as error:
        sys.exit(f"error: {one_line(refusal(error))}")
    typed = "python {}.py" if sys.argv[0].endswith(".py") else "msnas {}"
    return ((SWEEP if command == "sweep" else TRAIN) + RUN).format(
        train=typed.format("train"),
        sweep=typed.format("sweep"),
        command=typed.format(command),
        groups="\n".join(_groups(folders)),
    )


def _groups(folders: Iterable[str]) -> list[str]:
    options: dict[str, list[str]] = {}
    for folder in folders:
        for path in Path(folder).glob("*/**/*.yaml"):
            group = path.parent.relative_to(folder).as_posix()
            options.setdefault(group, []).append(path.stem)
    return [f"{group}: {', '.join(sorted(options[group]))}" for group in sorted(options)]
