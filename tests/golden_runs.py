"""Tiny runs that together pass every part of conf/; their numbers are kept in tests/golden."""

from __future__ import annotations

from conftest import ROOT
from weightings import EXTRAS, SETTINGS, THREE

COMMON = (
    "trainer=cpu",
    "logger=none",
    *(
        f"recipe.{stage}.{name}={value}"
        for stage in ("pretrain", "search", "posttrain")
        for name, value in (("epochs", 2), ("batch", 50))
    ),
)
"""Two epochs of a few steps a stage: rounding has no time to grow, so other machines stay near."""

TOY = ("problem=toy", "data.events=300")
HTAUTAU = ("data.file={few}", "data.events=300", "recipe=paper", "frame=detector")
JUDGE = "tasks.tau_calibration.validity"
TAU = (
    "problem=tau_vs_jet",
    f"data.file={ROOT / 'data' / 'tau_jet.h5'}",
    "data.events=600",
    "method=fixed_chain",
    "candidate/tau_id=[residual_mlp]",
    "method.chain=[residual_mlp]",
)
SHARED = (
    "problem=tau_jet_multitask",
    f"data.file={ROOT / 'data' / 'tau_jet.h5'}",
    "data.events=600",
    "method=fixed_chain",
)
YOTO = "conditioning=yoto"
LOSSES = ("class_balanced", "inverse_class_frequency", "focal", "affinity")
WEIGHTINGS = [name for name in SETTINGS if name not in ("fixed", *EXTRAS)]
APART: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(THREE, ("problem=toy3", "seed=2")),
    "constant": ("weighting.aggregator.weights=[0.3,0.7]",),
    "constant_loss": ("weighting.scalarizer.weights=[0.4,0.6]",),
    "dwa": tuple(f"recipe.{stage}.epochs=4" for stage in ("search", "posttrain")),
    "mean_loss": ("seed=1",),
    "sum": ("seed=3",),
    "sum_loss": ("seed=4",),
}
"""What tells weightings apart that do alike, or at first, and makes some possible."""

RUNS: dict[str, tuple[str, ...]] = {
    # every method
    "spos": (*TOY, "task_weight=0.3"),
    "asng": (*TOY, "method=asng"),
    "darts": (*TOY, "method=darts", "method.relaxation=softmax"),
    "darts_expected": (*TOY, "method=darts"),
    "darts_second_order": (
        *TOY,
        "method=darts",
        "method.order=2",
        "method.relaxation=gumbel",
        "method.selection=perturbation",
    ),
    "grid_search": (
        *TOY,
        "candidate/toy_regression=[curve,line]",
        "candidate/toy_classification=[logistic,trigger]",
        "method=grid_search",
        "method.select_by=toy_classification/auc",
    ),
    "race": (*TOY, "method=race", "recipe.posttrain.epochs=3"),
    "fixed_chain": (*TOY, "method=fixed_chain"),
    "task_after_task": (*TOY, "method=fixed_chain", "method.reoptimise=false"),
    "end_to_end": (*TOY, "method=end_to_end"),
    # settings that change the way a run goes
    "without_pretraining": (*TOY, "pretrain.enabled=false"),
    "copies": (
        *TOY,
        "candidate/toy_regression=[curve,line]",
        "candidate/toy_classification=[logistic,cautious]",
        "candidate_copies=2",
    ),
    **{
        f"weighting_{name}": (*TOY, f"weighting={name}", *APART.get(name, ()))
        for name in WEIGHTINGS
    },
    "yoto_task_weight": (
        *TOY,
        YOTO,
        "conditioning.parameters=[task_weight]",
        "conditioning.laws.task_weight.points=[0.1,0.5,0.9]",
        "task_weight=0.5",
    ),
    # every problem
    "three_tasks": (
        "problem=toy3",
        "data.events=300",
        "method.sampling=fair",
        "method.ranking=evolution",
        *(
            f"method.evolution.{name}={value}"
            for name, value in (
                *(("population", 8), ("generations", 2), ("parents", 4)),
                *(("crossover", 4), ("mutation", 4)),
            )
        ),
    ),
    "digit_sum": ("problem=digit_sum", "data.source.pairs=400"),
    "htautau": (
        *HTAUTAU,
        "candidate/tau_calibration=[mlp,cnn,sf]",
        "candidate/higgs_id=[mlp,lstm,mass]",
        f"{JUDGE}.epochs=2",
        f"{JUDGE}.inducing=16",
        "task_weight=0.4",
    ),
    "htautau_fast": (*HTAUTAU[:2], f"{JUDGE}.epochs=2", f"{JUDGE}.inducing=16"),
    "htautau_augmented": (
        *HTAUTAU[:2],
        "augment=turns",
        "candidate/tau_calibration=[pt_only]",
        "candidate/higgs_id=[side,mlp]",
        f"{JUDGE}=null",
    ),
    "htautau_fakes": (
        "problem=htautau_fakes",
        f"data.file={ROOT / 'data' / 'htautau_fakes.h5'}",
        "data.events=400",
        "candidate/pair_tau_id=[mlp]",
        "candidate/pair_calibration=[sf,deep_sets]",
        "candidate/event_class=[lstm,side]",
        "tasks.pair_calibration.loss.fake_weight=0.2",
        "tasks.pair_calibration.validity.epochs=2",
        "tasks.pair_calibration.validity.inducing=16",
    ),
    "dummies": (
        *HTAUTAU,
        "method=darts",
        "method.relaxation=softmax",
        "candidate/tau_calibration=[sf,zeros,noise]",
        "candidate/higgs_id=[mass,zeros,noise]",
        f"validity@{JUDGE}=paper",
        f"{JUDGE}.epochs=2",
        "seed=1",
    ),
    "random_choice": (  # of a grid of candidates
        *HTAUTAU,
        "method=random_choice",
        "candidate/tau_calibration=[cnn_grid]",
        "candidate/higgs_id=[mlp]",
        f"{JUDGE}=null",
    ),
    "htautau_direct": ("problem=htautau_direct", *HTAUTAU, "method=fixed_chain"),
    **{name: (*TAU, f"loss@tasks.tau_id.loss={name}") for name in LOSSES},
    "yoto_class_balanced": (
        *TAU,
        YOTO,
        "loss@tasks.tau_id.loss=class_balanced",
        "conditioning.parameters=[one_minus_beta]",
        "conditioning.laws.one_minus_beta.points=[1e-6,1e-2]",
    ),
    "yoto_affinity": (
        *TAU,
        YOTO,
        "loss@tasks.tau_id.loss=affinity",
        "conditioning.parameters=[sigma,margin]",
        "conditioning.laws.sigma.points=[1,30]",
        "conditioning.laws.margin.points=[0.5]",
    ),
    "shared_layers": (*SHARED, "task_weight=0.3"),
    "shared_layers_upgrad": (
        *SHARED,
        "method.chain=[residual_mlp,mlp,mlp]",
        "weighting=upgrad",
    ),
}
"""Name and overrides of each run; `{few}` is a file of few events."""

SCAN = (
    *TOY,
    "candidate/toy_regression=[curve,plane]",
    "candidate/toy_classification=[logistic]",
    "method=spos,fixed_chain",
    "task_weight=0.2,0.8",
    "seed=0",
    "scan.name=golden",
    "hydra/launcher=basic",
)
"""A scan of four runs."""
