"""One process of the paper's published code: pre-training, SPOS and post-training.

    python benchmarks/published_steps.py <folder>

Started by benchmarks/published_code.py, whose `steps.json` and `events.npz` it reads, and which
reads its `result.json`. It drives the classes of the packages `multiml` and `multiml_htautau` with
the sizes of the paper and of conf/candidate; nothing of msnas is imported.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

PARTS = ("train", "valid", "test")
JETS = [f"jet_{index}" for index in range(8)]
IMAGES = ["image_0", "image_1"]
TRUE_TAUS = [f"tau_{index}" for index in range(6)]
TAUS = [f"measured_tau_{index}" for index in range(6)]
COLUMNS = {"jet": JETS, "image": IMAGES, "tau": TRUE_TAUS, "label": ["label"]}
"""Array of a part in events.npz -> the names of its columns in the published StoreGate."""

NAMES = {"tau4vec": ("mlp", "cnn", "sf"), "higgsId": ("mlp", "lstm", "mass")}
"""Published task -> its candidates by their names in conf/candidate, in the order of ranking."""

CONVOLUTIONS = [
    ("conv2d", {"in_channels": 3, "out_channels": 32, "kernel_size": 3}),
    ("conv2d", {"in_channels": 32, "out_channels": 16, "kernel_size": 3}),
    ("maxpooling2d", {}),
    ("conv2d", {"in_channels": 16, "out_channels": 16, "kernel_size": 2}),
    ("conv2d", {"in_channels": 16, "out_channels": 8, "kernel_size": 2}),
]


def read_store(path: Path) -> Any:
    """The events in a StoreGate on NumPy arrays."""
    from multiml import StoreGate

    store = StoreGate(backend="numpy", data_id="htautau")
    with np.load(path) as arrays:
        for part in PARTS:
            for name, columns in COLUMNS.items():
                store.add_data(var_names=columns, data=arrays[f"{part}_{name}"], phase=part)
    store.compile()
    return store


def make_tasks(steps: dict[str, Any], saver: Any, loss: Any) -> Any:
    """The two tasks and their candidates."""
    from multiml import Hyperparameters, TaskScheduler
    from multiml_htautau.task import pytorch as tasks

    shared = {
        "saver": saver,
        "optimizer": "Adam",
        "optimizer_args": {"lr": steps["lr"]},
        "num_epochs": steps["epochs"],
        "max_patience": steps["epochs"],  # all epochs are trained, the best weights are restored
        "batch_size": steps["pretrain_batch"],
        "save_weights": True,
        "load_weights": False,
        "device": "cpu",
        "view_as_outputs": True,
    }
    tau = shared | {
        "input_vars_energy": IMAGES,
        "input_vars_jet": JETS,
        "input_njets": 2,
        "output_var_names": TAUS,
        "true_var_names": TRUE_TAUS,
        "loss": loss,
    }
    higgs = shared | {
        "input_var_names": TRUE_TAUS,
        "output_var_names": ["probability"],
        "true_var_names": ["label"],
        "loss": "BCEWithLogitsLoss",
        "activation_last": "Identity",
    }
    candidates = {
        "tau4vec": (
            (
                tasks.Tau4vec_MLPTask(activation="ReLU", **tau),
                {"layers_images": [[768, 16, 16, 16, 4]], "layers_calib": [[8, 32, 32, 3]]},
            ),
            (
                tasks.Tau4vec_Conv2DTask(activation="ReLU", **tau),
                {
                    "layers_conv2d": [CONVOLUTIONS],
                    "layers_images": [[128, 16, 16, 16, 4]],
                    "layers_calib": [[8, 64, 64, 64, 3]],
                },
            ),
            (tasks.Tau4vec_SFTask(**tau), {}),
        ),
        "higgsId": (
            (
                tasks.HiggsID_MLPTask(activation="ReLU", **higgs),
                {"layers": [[6, 32, 32, 32, 1]]},
            ),
            (
                tasks.HiggsID_LSTMTask(layers_mlp=[32, 1], n_jets=2, **higgs),
                {"layers_lstm": [[3, 32, 32, 32]]},
            ),
            (
                tasks.HiggsID_MassTask(activation="ReLU", scale_mass=1 / 125, **higgs),
                {"layers": [[1, 64, 64, 1]]},
            ),
        ),
    }
    scheduler = TaskScheduler()
    for task, own in candidates.items():
        subtasks = [
            {"subtask_id": f"{task}-{name}", "env": env, "hps": Hyperparameters(sizes)}
            for name, (env, sizes) in zip(NAMES[task], own, strict=True)
        ]
        scheduler.add_task(task, subtasks=subtasks)
    scheduler.add_task("higgsId", parents=["tau4vec"])
    return scheduler


def make_metric(steps: dict[str, Any]) -> Any:
    """The test AUC, which ranks the chains, and 1 more for the chain that is to be selected.

    The chains are judged in the order of the candidates, and the trained one after them.
    """
    from multiml.agent.metric import AUCMetric

    calls = itertools.count()
    selected = list(itertools.product(*NAMES.values())).index(tuple(steps["chain"]))

    class DecidedMetric(AUCMetric):  # type: ignore[misc]
        def calculate(self) -> float:
            return float(super().calculate()) + (next(calls) == selected)

    return DecidedMetric(pred_var_name="probability", true_var_name="label", phase="test")


def main(folder: Path) -> None:
    """Run the steps and write what they reached."""
    steps = json.loads((folder / "steps.json").read_text())
    sys.path[:0] = steps["packages"]
    from multiml import Saver
    from multiml.agent.pytorch import PytorchSPOSNASAgent
    from multiml_htautau.task.loss import Tau4vecCalibLoss_torch

    torch.set_num_threads(1)
    for seeded in (torch.manual_seed, np.random.seed, random.seed):
        seeded(steps["seed"])
    saver, store = Saver(str(folder / "saved")), read_store(folder / "events.npz")
    loss = Tau4vecCalibLoss_torch(pt_scale=1e-2, use_pxyz=True)
    agent = PytorchSPOSNASAgent(
        saver=saver,
        storegate=store,
        task_scheduler=make_tasks(steps, saver, loss),
        metric=make_metric(steps),
        training_choiceblock_model=["test"],
        freeze_model_weights=False,
        do_pretraining=True,
        connectiontask_args={
            "num_epochs": steps["epochs"],
            "max_patience": steps["epochs"],
            "batch_size": steps["search_batch"],
            "load_weights": False,
            "phases": list(PARTS),
            "use_multi_loss": True,
            "loss_weights": {
                "tau4vec": steps["task_weight"],
                "higgsId": 1 - steps["task_weight"],
            },
            "optimizer": "Adam",
            "optimizer_args": {"lr": steps["lr"]},
            "variable_mapping": list(zip(TRUE_TAUS, TAUS, strict=True)),
            "device": "cpu",
        },
    )
    agent.execute()
    agent.finalize()
    taus, truth = (
        torch.from_numpy(np.asarray(store.get_data(names, phase="test"), dtype=np.float32))
        for names in (TAUS, TRUE_TAUS)
    )
    reached = {
        "chain": [agent.result.subtask_ids],
        "auc": float(agent.result.metric_value),
        "mse": float(loss(taus, truth)),
    }
    (folder / "result.json").write_text(json.dumps(reached))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
