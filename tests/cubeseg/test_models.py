"""The network and its losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cubeseg.config import FitConfig, Ramp
from cubeseg.models.autoencoder import Autoencoder, NetworkSpec, reconstruction_loss
from cubeseg.models.deep import DeepModel
from cubeseg.models.losses import CLUSTERING_LOSSES, mmd, soft_silhouette_loss
from cubeseg.sampling.scaling import scaled
from cubeseg.sampling.spectra import draw_sample
from cubeseg.steps import finish
from tests.cubeseg.cubes import counts_cube, reflectance_cube


def sample_of(cube):
    return finish(scaled(finish(draw_sample(cube, bins=1024, limit=5000, seed=0)), FitConfig()))[0]


def test_activations_of_the_selu_network_keep_unit_variance():
    torch.manual_seed(0)
    network = Autoencoder(NetworkSpec(1024, 1024, "gaussian", layers=4))
    hidden = torch.randn(2000, 1024)
    for layer in network.encoder:
        hidden = layer(hidden)
        if isinstance(layer, torch.nn.SELU):
            assert 0.7 < hidden.std().item() < 1.3


def test_widths_halve_down_to_the_encoding():
    assert NetworkSpec(1024, 1024, "gaussian", layers=3, encoding=32).widths() == [512, 256, 32]


def test_untrained_decoder_gives_the_mean_spectrum():
    cube, _ = counts_cube()
    sample = sample_of(cube)
    model = DeepModel(sample.preprocessor, FitConfig())
    model.start(sample)
    with torch.no_grad():
        given = model.network.decode(torch.zeros(1, model.spec.latent)).exp().numpy()[0]
    wanted = sample.spectra.sum(axis=0) / sample.spectra.sum()
    assert np.abs(given - wanted).max() < 1e-3


def test_multinomial_loss_is_half_the_deviance_and_zero_for_a_perfect_fit():
    counts = torch.tensor([[3.0, 0.0, 1.0]])
    p = counts / counts.sum()
    assert float(reconstruction_loss("multinomial", (p + 1e-12).log(), counts)) == pytest.approx(0, abs=1e-5)
    worse = torch.tensor([[0.5, 0.25, 0.25]]).log()
    expected = 3 * np.log(0.75 / 0.5) + 1 * np.log(0.25 / 0.25)
    assert float(reconstruction_loss("multinomial", worse, counts)) == pytest.approx(expected, rel=1e-5)


def test_mmd_is_zero_for_the_prior_and_sees_far_codes():
    torch.manual_seed(0)
    same = float(mmd(torch.randn(2000, 6), torch.randn(2000, 6)))
    near = float(mmd(torch.randn(500, 6) + 1, torch.randn(500, 6)))
    assert abs(same) < 0.005
    assert near > 10 * abs(same)
    far = (torch.randn(200, 6) + 30).requires_grad_()
    mmd(far, torch.randn(200, 6)).backward()
    assert float(far.grad.abs().sum()) > 0


def test_soft_silhouette_is_differentiable_scale_free_and_better_when_tight():
    torch.manual_seed(0)
    centroids = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    loose = (centroids.repeat_interleave(50, 0) + 2 * torch.randn(150, 2)).requires_grad_()
    tight = centroids.repeat_interleave(50, 0) + 0.5 * torch.randn(150, 2)
    loss = soft_silhouette_loss(loose, centroids)
    assert float(soft_silhouette_loss(tight, centroids)) < loss.item()
    assert soft_silhouette_loss(7 * loose, 7 * centroids).item() == pytest.approx(loss.item(), rel=1e-4)
    loss.backward()
    assert float(loose.grad.abs().max()) > 1e-5


def test_descending_the_soft_silhouette_pulls_codes_to_their_centroids():
    torch.manual_seed(0)
    centroids = torch.tensor([[0.0, 0.0], [4.0, 0.0]])
    codes = (centroids.repeat_interleave(100, 0) + 0.8 * torch.randn(200, 2)).requires_grad_()
    before = torch.cdist(codes.detach(), centroids).min(dim=1).values.mean()
    optimiser = torch.optim.Adam([codes], lr=0.05)
    for _ in range(100):
        optimiser.zero_grad()
        soft_silhouette_loss(codes, centroids).backward()
        optimiser.step()
    assert torch.cdist(codes.detach(), centroids).min(dim=1).values.mean() < 0.5 * before


@pytest.mark.parametrize("combine", ["sum", "product"])
def test_the_clustering_term_changes_the_gradient(combine):
    cube, _ = counts_cube()
    sample = sample_of(cube)
    gradients = []
    for gamma in (0.0, 0.5):
        config = FitConfig(network="ae", gamma=Ramp(gamma, gamma), combine=combine, clusters=(4, 4))
        model = DeepModel(sample.preprocessor, config)
        model.start(sample)
        model.recluster(model.encode(sample.spectra)[0])
        model.loss(sample.spectra[:200], None, 0.5)["total"].backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.network.encoder.parameters()]))
    cosine = torch.nn.functional.cosine_similarity(*gradients, dim=0)
    assert float(cosine) < 0.999


@pytest.mark.parametrize("name", CLUSTERING_LOSSES)
def test_every_clustering_loss_has_a_gradient_and_prefers_tight_clusters(name):
    torch.manual_seed(0)
    centroids = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    noise = torch.randn(150, 2)
    values = []
    for spread in (0.5, 2.0):
        codes = (centroids.repeat_interleave(50, 0) + spread * noise).requires_grad_()
        loss = CLUSTERING_LOSSES[name](codes, centroids, 1.0)
        loss.backward()
        values.append(loss.item())
        assert float(codes.grad.abs().max()) > 0
    assert values[0] < values[1]


def test_constrained_weighting_clusters_until_the_reconstruction_suffers():
    sample = sample_of(counts_cube()[0])
    model = DeepModel(sample.preprocessor, FitConfig(weighting="constrained"))
    grown = [model._allowed(1.0) for _ in range(40)][-1]
    shrunk = [model._allowed(1.5) for _ in range(80)][-1]
    assert grown > 1
    assert shrunk < grown


def test_the_published_network_is_bounded():
    spec = NetworkSpec(16, 16, "gaussian", bounded=True, latent=3, encoding=4)
    network = Autoencoder(spec)
    codes, _, output = network(100 * torch.randn(20, 16))
    assert float(codes.mean.abs().max()) <= 1
    assert 0 <= float(output.min()) <= float(output.max()) <= 1


def test_prototypes_keep_their_ids_when_reclustered():
    cube, _ = counts_cube()
    sample = sample_of(cube)
    model = DeepModel(sample.preprocessor, FitConfig(clusters=(4, 4)))
    codes = np.concatenate([np.full((50, 2), c, np.float32) for c in (0, 5, 10, 15)])
    codes += np.random.default_rng(0).normal(0, 0.1, codes.shape).astype(np.float32)
    first = model.recluster(codes)
    model.config = FitConfig(clusters=(4, 4), seed=9)
    assert (model.recluster(codes) == first).all()


def test_an_absent_device_is_named():
    from cubeseg.errors import ConfigError
    from cubeseg.models.deep import pick_device

    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="cuda"):
            pick_device("cuda")


def reflectances():
    return sample_of(reflectance_cube()[0])


def published(prepared):
    config = FitConfig(scaling="log-max", bounded=True, coordinates="latent", network="ae")
    return finish(scaled(finish(draw_sample(prepared, bins=1024, limit=5000, seed=0)), config))[0], config


@pytest.mark.parametrize("kind", ["counts", "latent", "reflectance", "published"])
def test_encoding_gives_what_the_network_as_trained_gives(kind):
    sample, config = sample_of(counts_cube()[0]), FitConfig()
    if kind == "reflectance":
        sample = reflectances()
    elif kind == "latent":
        config = FitConfig(coordinates="latent")
    elif kind == "published":
        sample, config = published(counts_cube()[0])
    model = DeepModel(sample.preprocessor, config)
    model.start(sample)
    model.survey(sample)
    features = sample.preprocessor.features(*sample.part(slice(None)))
    targets = torch.from_numpy(features.targets)
    with torch.no_grad():
        wanted, _, output = model.network(torch.from_numpy(features.inputs))
        place = model._coordinates(wanted.mean, output)
        if model.spec.likelihood == "multinomial":
            total = targets.sum(dim=1, keepdim=True)
            error = ((targets - total * output.exp()).square() / total).sum(dim=1)
        else:
            error = 2 * reconstruction_loss("gaussian", output, targets) / model.spec.outputs
    codes, errors = model.encode(*sample.part(slice(None)))
    np.testing.assert_allclose(codes, place.numpy(), atol=2e-5)
    np.testing.assert_allclose(errors, error.numpy(), rtol=2e-5)
    model.loss(*sample.part(slice(0, 50)), 0.5)["total"].backward()


def test_quick_activations_are_the_exact_ones_but_for_rounding():
    layer = next(
        layer for layer in Autoencoder(NetworkSpec(8, 8, "gaussian")).encoder if isinstance(layer, torch.nn.SELU)
    )
    values = torch.cat([torch.linspace(-200, 200, 4001), torch.tensor([-1e-6, 0.0, 1e-6])])
    exact = layer(values)
    with torch.inference_mode():
        quick = layer(values.clone())
    torch.testing.assert_close(quick, exact, rtol=1e-6, atol=1e-6)
