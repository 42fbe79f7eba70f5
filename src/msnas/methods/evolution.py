"""Evolutionary search among chains, for search spaces too large to rank every chain."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from msnas.chain.chain import Path

MOST_ATTEMPTS = 10
"""Most draws per wanted child: in a small search space there may be no new chain left."""


def evolve(
    names: Sequence[Sequence[str]],
    losses_of: Callable[[list[Path]], Sequence[float]],
    *,
    generator: torch.Generator,
    population: int,
    generations: int,
    parents: int,
    crossover: int,
    mutation: int,
    probability: float,
) -> dict[Path, float]:
    """Losses of all chains evaluated in the search; `names` are the candidates of every task.

    Guo et al., arXiv:1904.00420, Algorithm 1: it begins with a random population. In every
    generation the best `parents` so far get children by crossover (each task's candidate from one
    of two parents) and mutation (each redrawn by `probability`). No chain is evaluated twice.
    """

    def draw(count: int, make: Callable[[], Path], known: set[Path]) -> list[Path]:
        found: dict[Path, None] = {}
        for _ in range(count * MOST_ATTEMPTS):
            if len(found) == count:
                break
            path = make()
            if path not in known:
                found[path] = None
        return list(found)

    def pick(size: int) -> int:
        return int(torch.randint(size, (), generator=generator))

    def random_path() -> Path:
        return tuple(of_task[pick(len(of_task))] for of_task in names)

    losses: dict[Path, float] = {}

    def judge(paths: list[Path]) -> None:
        if paths:
            losses.update(zip(paths, losses_of(paths), strict=True))

    judge(draw(population, random_path, set()))
    for _ in range(generations):
        best = sorted(losses, key=losses.__getitem__)[:parents]

        def mutated(best: list[Path] = best) -> Path:
            parent = best[pick(len(best))]
            changes = torch.rand(len(names), generator=generator) < probability
            return tuple(
                of_task[pick(len(of_task))] if change else gene
                for gene, of_task, change in zip(parent, names, changes, strict=True)
            )

        def crossed(best: list[Path] = best) -> Path:
            pair = best[pick(len(best))], best[pick(len(best))]
            return tuple(pair[pick(2)][task] for task in range(len(names)))

        children = draw(crossover, crossed, set(losses))
        children += draw(mutation, mutated, set(losses) | set(children))
        judge(children)
    return losses
