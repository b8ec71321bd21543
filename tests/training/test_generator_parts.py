import jax
import jax.numpy as jnp
import numpy as np

from cpi_jax.diffusion.schedule import alphas_sigmas
from cpi_jax.training.autoencoder import autoencoder_loss, encode_latents, whiten
from cpi_jax.training.denoiser import CaptionedLatents, DenoiserBatch, denoiser_batches, denoiser_loss
from tests.mini import SCHEDULER, one_block_networks, one_block_params

IMAGES = np.random.default_rng(0).integers(0, 256, (70, 8, 8, 3)).astype(np.uint8)


def test_whitening_changes_the_latents_and_no_image():
    networks = one_block_networks()
    params = one_block_params()["vae"]
    raw = encode_latents(networks, params, IMAGES) / networks.scaling_factor
    white = whiten(params, raw)
    latents = encode_latents(networks, white, IMAGES) / networks.scaling_factor
    np.testing.assert_allclose(latents.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(latents.std((0, 1, 2)), 1, atol=1e-5)
    before = jax.jit(networks.decode_latents)(params, jnp.asarray(raw[:4]))
    np.testing.assert_allclose(jax.jit(networks.decode_latents)(white, jnp.asarray(latents[:4])), before, atol=1e-5)
    x = jnp.asarray(IMAGES[:4]) / 255
    (_, std), (_, white_std) = jax.jit(networks.encode_image)(params, x), jax.jit(networks.encode_image)(white, x)
    np.testing.assert_allclose(white_std * raw.std((0, 1, 2)), std, rtol=1e-4)


def test_the_autoencoders_loss_is_reconstruction_plus_kl():
    networks = one_block_networks()
    params = one_block_params()["vae"]
    keys = jax.random.split(jax.random.key(0), 2)
    got = jax.jit(autoencoder_loss(networks, 0.5))(params, jnp.asarray(IMAGES[:2]), keys)
    x = IMAGES[:2] / 255
    mean, std = (np.asarray(v) for v in jax.jit(networks.encode_image)(params, jnp.asarray(x, jnp.float32)))
    noise = np.stack([jax.random.normal(k, mean.shape[1:]) for k in keys])
    error = 2 * (np.asarray(jax.jit(networks.decode_latents)(params, jnp.asarray(mean + std * noise))) - x)
    kl = 0.5 * (mean**2 + std**2 - 1 - np.log(std**2))
    expected = np.abs(error).mean((1, 2, 3)) + 2 * (error**2).mean((1, 2, 3)) + 0.5 * kl.mean((1, 2, 3))
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_the_denoiser_learns_the_velocity():
    networks = one_block_networks()
    params = one_block_params()
    rng = np.random.default_rng(1)
    clean = jnp.asarray(rng.normal(size=(2, 4, 4, 4)), jnp.float32)
    batch = DenoiserBatch(clean, jnp.asarray(rng.integers(0, 12, (2, 32)), jnp.int32), jnp.array([100, 900]))
    keys = jax.random.split(jax.random.key(0), 2)
    got = jax.jit(denoiser_loss(networks, SCHEDULER))(params, batch, keys)
    alpha, sigma = (x[np.array([100, 900])][:, None, None, None] for x in alphas_sigmas(SCHEDULER))
    noise = np.stack([jax.random.normal(k, (4, 4, 4)) for k in keys])
    noisy = jnp.asarray(alpha * np.asarray(clean) + sigma * noise, jnp.float32)
    context = jax.jit(networks.encode_text)(params, batch.token_ids).context
    output = np.asarray(jax.jit(networks.denoise)(params["unet"], noisy, batch.timesteps, context))
    expected = ((output - (alpha * noise - sigma * np.asarray(clean))) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_batches_drop_captions_and_favour_high_noise():
    data = CaptionedLatents(jnp.zeros((5, 2, 2, 1)), jnp.stack([jnp.full((5, 3), 1), jnp.full((5, 3), 2)]))
    draw = denoiser_batches(4000, jnp.full(3, 9), drop=0.1, second_phrasing=0.25, num_timesteps=1000, density="linear")
    batch = draw(jax.random.key(0), data)
    share = {v: float((batch.token_ids == v).all(1).mean()) for v in (1, 2, 9)}
    np.testing.assert_allclose([share[9], share[2], share[1]], [0.1, 0.225, 0.675], atol=0.025)
    t = np.asarray(batch.timesteps)
    assert t.min() >= 0 and t.max() <= 999
    for q in (0.25, 0.5, 0.9):
        assert abs((t < 1000 * q).mean() - q * q) < 0.005  # density proportional to t, stratified
