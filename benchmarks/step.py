"""One training step, beside the step that arXiv 2401.17695 describes, on the same network and batch.

    python benchmarks/step.py [--batch 512] [--repeats 7]

The published step clusters the codes of each batch for every K from 4 to 12 (ten rounds of Lloyd's algorithm) and takes
the silhouette from all pairs; it is written here after the paper's description. Ours uses global centroids.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from cubeseg.config import FitConfig, Ramp
from cubeseg.models.deep import DeepModel
from cubeseg.samples import painting
from cubeseg.sampling.scaling import scaled
from cubeseg.sampling.spectra import draw_sample
from cubeseg.steps import finish


def pairwise_silhouette(codes: torch.Tensor, labels: torch.Tensor, k: int) -> torch.Tensor:
    """Mean silhouette from all pairs."""
    distances = torch.cdist(codes, codes)
    one_hot = torch.nn.functional.one_hot(labels, k).float()
    sizes = one_hot.sum(dim=0)
    sums = distances @ one_hot
    own = sizes[labels]
    inside = sums[torch.arange(len(codes)), labels] / (own - 1).clamp_min(1)
    outside = (sums / sizes.clamp_min(1)).scatter(1, labels[:, None], float("inf")).min(dim=1).values
    return torch.where(own > 1, (outside - inside) / torch.maximum(inside, outside), torch.zeros(())).mean()


def published_clustering(codes: torch.Tensor) -> torch.Tensor:
    """Best silhouette over K = 4..12, each clustered anew."""
    best = codes.new_tensor(-1.0)
    for k in range(4, 13):
        centroids = codes[:k].detach().clone()
        for _ in range(10):
            labels = torch.cdist(codes.detach(), centroids).argmin(dim=1)
            for c in range(k):
                if (labels == c).any():
                    centroids[c] = codes.detach()[labels == c].mean(dim=0)
        best = torch.maximum(best, pairwise_silhouette(codes, labels, k))
    return (1 - best) / 2


def main() -> None:
    """Time both, in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    config = FitConfig(gamma=Ramp(0.05, 0.05), clustering_loss="silhouette", clusters=(4, 12))
    cube = painting(48, 400).cube
    sample = finish(scaled(finish(draw_sample(cube, bins=1024, limit=5000, seed=0)), config))[0]
    model = DeepModel(sample.preprocessor, config)
    model.start(sample)
    model.survey(sample)
    model.recluster(model.encode(sample.spectra)[0])
    optimiser = torch.optim.Adam(model.parameters())
    batch = sample.spectra[: options.batch]
    times: dict[str, list[float]] = {"ours": [], "as described": []}
    for _ in range(options.repeats):
        for name in times:
            start = time.perf_counter()
            optimiser.zero_grad()
            if name == "ours":
                loss = model.loss(batch, None, 1.0)["total"]
            else:
                features = model.preprocessor.features(batch)
                _, codes, _, output = model._reconstruction(
                    torch.from_numpy(features.inputs), torch.from_numpy(features.targets)
                )
                loss = (output.exp() - torch.from_numpy(batch)).square().mean() + 0.05 * published_clustering(codes)
            loss.backward()
            optimiser.step()
            times[name].append(time.perf_counter() - start)
    ours, theirs = (np.median(times[n]) for n in ("ours", "as described"))
    print(
        f"batch {options.batch} x {sample.preprocessor.n_bins}, {torch.get_num_threads()} threads, medians of "
        f"{options.repeats}: ours {1000 * ours:.0f} ms, as described {1000 * theirs:.0f} ms, ratio {theirs / ours:.1f}"
    )


if __name__ == "__main__":
    main()
