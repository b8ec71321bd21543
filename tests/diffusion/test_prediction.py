import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpi_jax.diffusion.networks import EmbeddedCaptions, Networks
from cpi_jax.diffusion.prediction import PREDICTIONS, min_snr_weights
from cpi_jax.diffusion.sampler import make_generator
from cpi_jax.diffusion.sampler_settings import SamplerSettings
from cpi_jax.diffusion.schedule import alphas_sigmas
from cpi_jax.training.denoiser import DenoiserBatch, denoiser_loss
from tests.mini import SCHEDULER

CLEAN = jnp.asarray(np.random.default_rng(0).uniform(0.1, 0.9, (2, 2, 3)), jnp.float32)


class Perfect(Networks):
    """A network that knows the only picture there is, and says of a noisy one what a checkpoint of its kind should."""

    def __init__(self, kind):
        vae = {"latent_channels": 3, "down_block_types": ["DownEncoderBlock2D"], "scaling_factor": 1.0}
        super().__init__(
            {
                "kind": {"": kind},
                "text_encoder": {"max_position_embeddings": 3},
                "unet": {"sample_size": 2, "down_block_types": [""]},
                "vae": vae,
            },
            {},
            nn.Module(),
            nn.Module(),
        )

    def encode_text(self, params, token_ids, skip=0):
        return EmbeddedCaptions(jnp.zeros((*token_ids.shape, 1)), None)

    def decode_latents(self, params, latents):
        return latents

    def project_context(self, params, context):
        return context

    def denoise_projected(self, params, noisy, timesteps, keys_values, added=None):
        return self.denoise(params, noisy, timesteps, keys_values)

    def denoise(self, params, noisy, timesteps, context, added=None, remat=False):
        alpha, sigma = (jnp.asarray(x, jnp.float32)[timesteps][:, None, None, None] for x in alphas_sigmas(SCHEDULER))
        noise = (noisy - alpha * CLEAN) / sigma
        said = {"epsilon": noise, "v_prediction": alpha * noise - sigma * CLEAN, "sample": CLEAN + 0 * noisy}
        return said[self.configs["kind"][""]]


PARAMS = {"text_encoder": (), "unet": (), "vae": ()}
IDS = jnp.zeros((4, 3), jnp.int32)
KEYS = jax.random.split(jax.random.key(0), 4)


@pytest.mark.parametrize("kind", PREDICTIONS)
def test_training_and_sampler_mean_the_same_prediction(kind):
    network, scheduler = Perfect(kind), SCHEDULER | {"prediction_type": kind}
    batch = DenoiserBatch(jnp.broadcast_to(CLEAN, (4, *CLEAN.shape)), IDS, jnp.array([10, 300, 700, 999]))
    for gamma in (0.0, 5.0):
        loss = denoiser_loss(network, scheduler, min_snr_gamma=gamma)(PARAMS, batch, KEYS)
        np.testing.assert_allclose(loss, 0, atol=1e-8)
    for other in set(PREDICTIONS) - {kind}:
        loss = denoiser_loss(Perfect(other), scheduler)(PARAMS, batch, KEYS)
        assert float(loss.mean()) > 0.1, other
    settings = SamplerSettings(steps=3, guidance_scale=1)
    generator = make_generator(network, PARAMS, scheduler, IDS[0], settings)
    images = generator.apply(generator.params, IDS, KEYS)
    np.testing.assert_allclose(images, np.broadcast_to(CLEAN, images.shape), atol=1e-5)


@pytest.mark.parametrize("kind", PREDICTIONS)
def test_min_snr_weights(kind):
    alphas, sigmas = np.array([0.99, 0.8, 0.3, 0.0]), np.sqrt(1 - np.array([0.99, 0.8, 0.3, 0.0]) ** 2)
    found = min_snr_weights(jnp.asarray(alphas), jnp.asarray(sigmas), 5.0, PREDICTIONS[kind])
    snr = alphas[:3] ** 2 / sigmas[:3] ** 2  # 49, 1.8, .1
    of_clean = {"epsilon": snr, "v_prediction": snr + 1, "sample": 1}[kind]  # Hang et al. 2023, section 3.4
    np.testing.assert_allclose(found[:3], np.minimum(snr, 5) / of_clean, rtol=1e-5)
    assert found[3] == (1.0 if kind == "epsilon" else 0.0)  # pure noise: the limit
