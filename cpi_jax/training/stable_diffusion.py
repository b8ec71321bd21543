"""Training of a Stable Diffusion checkpoint from scratch: tokenizer, autoencoder, then UNet with text encoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from cpi_jax.captions import assemble, make_slots
from cpi_jax.data.examples import Examples
from cpi_jax.diffusion.checkpoint import load_tokenizer, save_checkpoint, unconditional_ids
from cpi_jax.diffusion.networks import build_networks, init_params
from cpi_jax.errors import InputError
from cpi_jax.training.autoencoder import autoencoder_loss, encode_latents, whiten
from cpi_jax.training.denoiser import CaptionedLatents, denoiser_batches, denoiser_loss
from cpi_jax.training.loop import fit
from cpi_jax.training.optimizer import make_optimizer
from cpi_jax.training.vocabulary import write_tokenizer


def train_stable_diffusion(
    config: Any, examples: Examples, workdir: str | Path, on_export: Callable[[int, Path], None]
) -> Path:
    """Trains all parts and keeps `workdir`/export a checkpoint folder of the averaged weights, fp16.

    Args:
      config: see configs/train_generator.py.
      examples: images and caption slots.
      workdir: holds checkpoints and the export; the same call resumes.
      on_export: called with (step, folder) after every export, to score it.

    Raises:
      InputError: without images of the networks' size, for free text, or a warm-up longer than its training.

    Returns:
      The exported folder.
    """
    # Both before the hours of training.
    vae_optimizer, unet_optimizer = (
        make_optimizer(num_steps=part.num_steps, **part.optimizer) for part in (config.vae, config.unet)
    )
    if examples.images is None or examples.order is not None:
        raise InputError("a generator is trained on images and captions made of columns, not yet on free text")
    images = examples.pixels()
    workdir, export = Path(workdir), Path(workdir) / "export"
    text = config.networks.text_encoder
    write_tokenizer(config.words, export / "tokenizer", text.max_position_embeddings)
    tokenizer = load_tokenizer(export)
    special = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    configs = config.networks.to_dict()
    configs["text_encoder"] |= {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, **special}
    networks = build_networks(configs)
    if images.shape[1:3] != (networks.image_size,) * 2:
        raise InputError(f"images are {images.shape[1:3]} and the networks make {networks.image_size} pixels a side")
    params = jax.jit(lambda key: init_params(networks, key))(jax.random.key(config.seed))

    vae = fit(
        "vae",
        params["vae"],
        vae_optimizer,
        autoencoder_loss(networks, config.vae.kl_weight),
        lambda key, x: x[jax.random.randint(key, (config.vae.batch_size,), 0, x.shape[0])],
        images,
        num_steps=config.vae.num_steps,
        batch_size=config.vae.batch_size,
        ema_decay=config.vae.ema_decay,
        seed=config.seed + 1,
        workdir=workdir,
    )
    raw = encode_latents(networks, vae, images[:2048])
    vae = jax.tree.map(jnp.asarray, whiten(vae, raw))
    latents = encode_latents(networks, vae, images)
    logging.info("latents: mean %s, deviation %s", latents.mean((0, 1, 2)), latents.std((0, 1, 2)))

    def phrase(rows):
        slots = make_slots(tokenizer, rows, length=networks.max_length, separator=config.separator, empty=config.empty)
        return np.asarray(assemble(slots))

    # A second phrasing ends in words that say nothing about the scene: a neutral slot can then be permuted as a control.
    phrasings = [examples.slots] + ([[(*row, config.neutral) for row in examples.slots]] if config.neutral else [])
    token_ids = np.stack([phrase(rows) for rows in phrasings])

    def save(step: int, ema: Any) -> None:
        save_checkpoint(export, networks, {**ema, "vae": vae}, config.scheduler.to_dict())
        on_export(step, export)

    fit(
        "denoiser",
        {part: params[part] for part in ("text_encoder", "unet")},
        unet_optimizer,
        denoiser_loss(networks, config.scheduler.to_dict()),
        denoiser_batches(
            config.unet.batch_size,
            unconditional_ids(tokenizer, networks.max_length),
            drop=config.unet.caption_dropout,
            second_phrasing=config.unet.neutral_share,
            num_timesteps=config.scheduler.num_train_timesteps,
        ),
        CaptionedLatents(jnp.asarray(latents), jnp.asarray(token_ids)),
        num_steps=config.unet.num_steps,
        batch_size=config.unet.batch_size,
        ema_decay=config.unet.ema_decay,
        seed=config.seed + 2,
        workdir=workdir,
        save_every=config.unet.save_every,
        on_save=save,
    )
    return export
