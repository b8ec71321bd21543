"""Images that are anchored in real pictures, with a miniature of random weights."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cpi_jax
from cpi_jax.diffusion.schedule import alphas_sigmas
from cpi_jax.errors import InputError
from cpi_jax.plan.noise import noise_keys
from tests.mini import SCHEDULER, mini_generator, one_block_networks, one_block_params

STEPS = 3
RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
OWN = jnp.asarray(RNG.integers(0, 12, (2, 32)), jnp.int32)
OTHER = jnp.asarray(RNG.integers(0, 12, (3, 32)), jnp.int32)
OF_ROW = jnp.array([1, 0, 1], jnp.int32)
KEYS = noise_keys(jax.random.key(7), 0, jnp.array([5, 9], jnp.uint32))


def anchored(tokenizer, **sampler):
    return mini_generator(tokenizer, STEPS, **({"anchor": "edit_friendly"} | sampler))


def edit(generator, captions=OTHER, of_row=OF_ROW, **sources):
    return cpi_jax.sample(generator, captions, KEYS[of_row], cpi_jax.Sources(PICTURES, OWN, of_row, **sources))


@functools.cache
def networks():
    """The miniature's networks, each compiled as a whole: step by step they are two hundred small programs."""
    made, names = one_block_networks(), ("encode_text", "denoise", "encode_image", "decode_latents")
    return SimpleNamespace(scaling_factor=made.scaling_factor, **{name: jax.jit(getattr(made, name)) for name in names})


def round_trip():
    nets, params = networks(), one_block_params()["vae"]
    mean, _ = nets.encode_image(params, jnp.asarray(PICTURES) / 255)
    return np.clip(nets.decode_latents(params, mean), 0, 1)


def by_the_paper(scale, source_scale, skip):
    """Edit-friendly inversion as the paper has it: noise maps first, one picture at a time, then sampling with them."""
    nets, params = networks(), one_block_params()
    steps = anchored_levels()
    empty = jnp.full(32, 13, jnp.int32).at[0].set(12)

    def predict(x, ids, j, scale):
        context = nets.encode_text(params, jnp.stack([ids, empty])).context
        output = nets.denoise(params["unet"], jnp.stack([x, x]), jnp.full(2, steps[j][0]), context)
        _, a, s = steps[j]
        v = output[1] + scale * (output[0] - output[1])
        return a * x - s * v, s * x + a * v  # the clean latents and the noise that a velocity stands for

    def mean(x, ids, j, scale):
        clean, noise = predict(x, ids, j, scale)
        (_, a, s), (_, a2, s2) = steps[j], steps[j + 1]
        variance = (s2 / s) ** 2 * (1 - (a / a2) ** 2)
        return a2 * clean + np.sqrt(max(s2**2 - variance, 0)) * noise, np.sqrt(variance)

    out = []
    for ids, source in zip(OTHER, OF_ROW.tolist()):
        latents, _ = nets.encode_image(params["vae"], jnp.asarray(PICTURES[source : source + 1]) / 255)
        clean = latents[0] * nets.scaling_factor

        noise = [jax.random.normal(jax.random.fold_in(KEYS[source], t), clean.shape) for t, _, _ in steps]
        levels = [a * clean + s * e for (_, a, s), e in zip(steps, noise)]
        x = levels[skip]
        for j in range(skip, STEPS):
            m, spread = mean(levels[j], OWN[source], j, source_scale)
            residual = levels[j + 1] - m
            kept = residual / spread if spread else residual  # the noise map of the paper
            m, spread = mean(x, ids, j, scale)
            x = m + (spread or 1) * kept
        out.append(nets.decode_latents(params["vae"], x[None] / nets.scaling_factor)[0])
    return np.clip(np.stack(out), 0, 1)


def anchored_levels():
    alpha, sigma = alphas_sigmas(SCHEDULER)
    times = np.round(np.arange(1000, 0, -1000 / STEPS)).astype(int)[:STEPS] - 1
    return [(int(t), float(alpha[t]), float(sigma[t])) for t in times] + [(0, 1.0, 0.0)]


@pytest.mark.slow
@pytest.mark.parametrize("skip, source_guidance", [(0, 1.0), (1, 1.5)])
def test_images_are_those_of_the_paper(tokenizer, skip, source_guidance):
    generator = anchored(tokenizer, solver="ddim", skip=skip, source_guidance=source_guidance)
    np.testing.assert_allclose(edit(generator), by_the_paper(2.0, source_guidance, skip), atol=2e-4)


def test_the_same_caption_gives_the_picture(tokenizer):
    """With equal guidance, whatever the network says, the order or the levels left out."""
    for solver in ("ddim", "dpm_solver"):
        generator = anchored(tokenizer, source_guidance=2.0, solver=solver)
        same = edit(generator, captions=OWN[OF_ROW])
        np.testing.assert_allclose(same, round_trip()[np.asarray(OF_ROW)], atol=1e-4)


@pytest.mark.slow
def test_an_image_depends_on_its_own_caption_and_picture_alone(tokenizer):
    generator = anchored(tokenizer)
    together = edit(generator)
    alone = cpi_jax.sample(
        generator, OTHER[1:2], KEYS[:1], cpi_jax.Sources(PICTURES[:1], OWN[:1], jnp.zeros(1, jnp.int32))
    )
    np.testing.assert_allclose(alone[0], together[1], atol=5e-5)
    assert np.abs(together - round_trip()[np.asarray(OF_ROW)]).max() > 0.01


@pytest.mark.slow
def test_a_mask_keeps_the_image_of_the_own_caption(tokenizer):
    nowhere = jnp.zeros((3, 8, 8), bool)
    part = nowhere.at[:, 3, 7].set(True)  # of a latent of 2 x 2 pixels
    nothing = edit(anchored(tokenizer), editable=nowhere)
    np.testing.assert_allclose(nothing, edit(anchored(tokenizer), captions=OWN[OF_ROW]), atol=1e-4)
    guided_alike = anchored(tokenizer, source_guidance=2.0)
    np.testing.assert_allclose(edit(guided_alike, editable=nowhere), round_trip()[np.asarray(OF_ROW)], atol=1e-4)
    everything, half = edit(anchored(tokenizer)), edit(anchored(tokenizer), editable=part)
    assert np.abs(half - everything).max() > 1e-3 and np.abs(half - nothing).max() > 1e-3
    latents = anchored(tokenizer).apply._in_latents(part)[..., 0]
    assert latents.sum() == 3 and latents[:, 1, 3].all()


@pytest.mark.slow
def test_sdedit_begins_at_the_noised_picture(tokenizer):
    """One step: the clean latents that the network sees in the picture at its level."""
    generator = anchored(tokenizer, anchor="sdedit", strength=0.34)  # one of three steps
    nets, params = networks(), one_block_params()
    t, a, s = anchored_levels()[2]
    mean, _ = nets.encode_image(params["vae"], jnp.asarray(PICTURES) / 255)
    noise = jnp.stack([jax.random.normal(jax.random.fold_in(key, t), mean.shape[1:]) for key in KEYS])
    x = (a * mean * nets.scaling_factor + s * noise)[OF_ROW]
    empty = jnp.full((3, 32), 13, jnp.int32).at[:, 0].set(12)
    context = nets.encode_text(params, jnp.concatenate([OTHER, empty])).context
    output = nets.denoise(params["unet"], jnp.concatenate([x, x]), jnp.full(6, t), context)
    v = output[3:] + 2.0 * (output[:3] - output[3:])
    expected = np.clip(nets.decode_latents(params["vae"], (a * x - s * v) / nets.scaling_factor), 0, 1)
    np.testing.assert_allclose(edit(generator), expected, atol=1e-4)


def test_what_cannot_be_is_refused(tokenizer):
    for fields, message in (
        ({"skip": 3}, "of 3 sampler.steps 3 are left out, so that none is taken: set a smaller sampler.skip"),
        ({"anchor": "sdedit", "strength": 0.0}, "none is taken: set a larger sampler.strength"),
        ({"anchor": "sdedit", "skip": 1}, "sampler.skip is of sampler.anchor = 'edit_friendly', which is 'sdedit'"),
        ({"source_guidance": 2.0, "guidance_scale": 1.0}, "sampler.source_guidance changes nothing where"),
        ({"anchor": "lance"}, "sampler.anchor"),
    ):
        with pytest.raises(InputError, match=message):
            anchored(tokenizer, **fields)
    with pytest.raises(InputError, match=r"edits real pictures, and no sources are given: sampler\.anchor says which"):
        cpi_jax.sample(anchored(tokenizer), OTHER, KEYS[OF_ROW])
    with pytest.raises(InputError, match=r"within_masks is of sampler\.anchor = 'edit_friendly'"):
        edit(anchored(tokenizer, anchor="sdedit"), editable=jnp.ones((3, 8, 8), bool))
    with pytest.raises(InputError, match="the generator takes no sources"):
        edit(mini_generator(tokenizer, STEPS))
