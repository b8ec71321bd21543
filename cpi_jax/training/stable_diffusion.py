"""Training of a Stable Diffusion checkpoint: from nothing (tokenizer and autoencoder first), or from one that there is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.experimental import multihost_utils

from cpi_jax.captions.encoding import Tokenizer
from cpi_jax.data.examples import Examples
from cpi_jax.data.images import ImageFiles
from cpi_jax.diffusion.checkpoint import load_checkpoint, load_tokenizer, save_checkpoint, unconditional_ids
from cpi_jax.diffusion.networks import Networks, build_networks, init_params
from cpi_jax.diffusion.scheduler_config import complete_scheduler
from cpi_jax.embedded import find_embedded
from cpi_jax.errors import InputError, require_known
from cpi_jax.training.adapters import init_factors, merge, save_factors
from cpi_jax.training.autoencoder import autoencoder_loss, encode_latents, whiten
from cpi_jax.training.denoiser import CaptionedLatents, denoiser_batches, denoiser_loss
from cpi_jax.training.loop import fit
from cpi_jax.training.optimizer import make_optimizer
from cpi_jax.training.prompts import prompt_ids
from cpi_jax.training.record import PARTS, keep_config
from cpi_jax.training.vocabulary import write_tokenizer

TRAINED = ("unet+text_encoder", "unet", "lora")
LORA_FILE = "lora.safetensors"


class Start(NamedTuple):
    """What the denoiser's training begins with.

    Attributes:
      networks: of the checkpoint.
      params: by part; the autoencoder's are final.
      scheduler: its configuration.
      tokenizer: of the captions; its files lie in the export already.
      token_ids: of the captions, [P phrasings, N, L].
    """

    networks: Networks
    params: dict[str, Any]
    scheduler: dict[str, Any]
    tokenizer: Tokenizer
    token_ids: np.ndarray


def train_stable_diffusion(
    config: Any, examples: Examples, workdir: str | Path, on_export: Callable[[int, Path], bool | None]
) -> Path:
    """Trains, and keeps `workdir`/export a checkpoint folder of the averaged weights, fp16.

    Args:
      config: see configs/train_generator.py, and configs/finetune_sd.py for training that goes on from a checkpoint.
      examples: images and captions.
      workdir: holds checkpoints and the export; the same call resumes.
      on_export: called with (step, folder) after every export, to score it; training ends where it returns True. Of
        several processes, only the first exports.

    Raises:
      InputError: without images of the networks' size, for captions that do not fit, a warm-up longer than its training, or
        a `workdir` that was begun with another config.

    Returns:
      The exported folder.
    """
    workdir, export = Path(workdir), Path(workdir) / "export"
    settings = config.unet
    require_known(settings.trained, "part to train", TRAINED)
    require_known(settings.compute_dtype, "compute dtype", ("float32", "bfloat16"))
    optimizer = make_optimizer(num_steps=settings.num_steps, **settings.optimizer)  # before the hours of training
    images = _images_of(examples)
    if not config.init and "networks" not in config:
        raise InputError("--config.init must name the checkpoint that training goes on from")
    keep_config({name: value for name, value in config.to_dict().items() if name != "evaluation"}, workdir)
    begin = _begin_with if config.init else _begin_anew
    networks, params, scheduler, tokenizer, token_ids = begin(config, examples, workdir)
    latents = encode_latents(networks, params["vae"], images, settings.batch_size)
    logging.info("latents: mean %s, deviation %s", latents.mean((0, 1, 2)), latents.std((0, 1, 2)))

    trained, frozen, combine = _choose(settings, params, config.seed)
    computing = build_networks(networks.configs, jnp.dtype(settings.compute_dtype))
    loss = denoiser_loss(computing, scheduler, min_snr_gamma=settings.min_snr_gamma, remat=settings.remat)

    def save(step: int, ema: Any) -> bool:
        ema = jax.tree.map(np.asarray, ema)
        save_checkpoint(export, networks, {**combine(ema, frozen), "vae": params["vae"]}, scheduler)
        if settings.trained == "lora":
            save_factors(export / LORA_FILE, ema, settings.lora.alpha)
        return bool(on_export(step, export))

    fit(
        PARTS[1],
        trained,
        optimizer,
        lambda p, batch, keys, frozen: loss(combine(p, frozen), batch, keys),
        denoiser_batches(
            settings.batch_size,
            unconditional_ids(tokenizer, networks.max_length),
            drop=settings.caption_dropout,
            second_phrasing=settings.neutral_share,
            num_timesteps=scheduler["num_train_timesteps"],
            density=settings.timestep_density,
        ),
        CaptionedLatents(jnp.asarray(latents), jnp.asarray(token_ids)),
        frozen=frozen,
        num_steps=settings.num_steps,
        batch_size=settings.batch_size,
        accumulate=settings.accumulate,
        ema_decay=settings.ema_decay,
        seed=config.seed + 2,
        workdir=workdir,
        log_every=settings.log_every,
        save_every=settings.save_every,
        on_save=_by_first_process(save),
    )
    return export


def _begin_with(config: Any, examples: Examples, workdir: Path) -> Start:
    """A checkpoint that there is; its autoencoder stays as it is."""
    checkpoint = load_checkpoint(find_embedded("generator", config.init))
    _validate_size(checkpoint.networks, examples)
    checkpoint.write_tokenizers(workdir / "export")
    token_ids = _phrasings(config, examples, checkpoint.tokenizer, checkpoint.networks.max_length)
    return Start(checkpoint.networks, checkpoint.params, checkpoint.scheduler, checkpoint.tokenizer, token_ids)


def _begin_anew(config: Any, examples: Examples, workdir: Path) -> Start:
    """A vocabulary of the captions' words, fresh networks, and an autoencoder trained on the images."""
    optimizer = make_optimizer(num_steps=config.vae.num_steps, **config.vae.optimizer)
    scheduler = complete_scheduler(config.scheduler.to_dict())
    folder = workdir / "export"
    vocab_size = write_tokenizer(
        config.words, folder / "tokenizer", config.networks.text_encoder.max_position_embeddings
    )
    tokenizer = load_tokenizer(folder)
    special = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    configs = config.networks.to_dict()
    configs["text_encoder"] |= {"vocab_size": vocab_size, "pad_token_id": tokenizer.pad_token_id, **special}
    networks = build_networks(configs)
    _validate_size(networks, examples)
    token_ids = _phrasings(config, examples, tokenizer, networks.max_length)
    images = examples.pixels()
    params = jax.jit(lambda key: init_params(networks, key))(jax.random.key(config.seed))
    vae = fit(
        PARTS[0],
        params["vae"],
        optimizer,
        autoencoder_loss(networks, config.vae.kl_weight),
        lambda key, x: x[jax.random.randint(key, (config.vae.batch_size,), 0, x.shape[0])],
        images,
        num_steps=config.vae.num_steps,
        batch_size=config.vae.batch_size,
        ema_decay=config.vae.ema_decay,
        seed=config.seed + 1,
        workdir=workdir,
    )
    vae = jax.tree.map(jnp.asarray, whiten(vae, encode_latents(networks, vae, images[:2048])))
    return Start(networks, {**params, "vae": vae}, scheduler, tokenizer, token_ids)


def _images_of(examples: Examples) -> np.ndarray | ImageFiles:
    if examples.images is None:
        raise InputError("a generator is trained on images: name their column, --config.data.image")
    return examples.images


def _validate_size(networks: Networks, examples: Examples) -> None:
    if (size := _images_of(examples)[0].shape[:2]) != networks.image_size:
        raise InputError(
            f"images are {size} and the networks make {networks.image_size} pixels (height, width): "
            "--config.data.image_size resizes them to a square where the source has it"
        )


def _phrasings(config: Any, examples: Examples, tokenizer: Tokenizer, length: int) -> np.ndarray:
    """Ids of the captions, [P, N, L]; the second phrasing, if any, ends in words that say nothing about the scene.

    A neutral slot can then be permuted as a control.
    """
    wording = {"separator": config.separator, "empty": config.empty}
    endings = ["", config.neutral] if config.neutral else [""]
    return np.stack([prompt_ids(tokenizer, examples, length, **wording, ending=ending) for ending in endings])


def _choose(settings: Any, params: dict[str, Any], seed: int) -> tuple[Any, Any, Callable[[Any, Any], dict[str, Any]]]:
    """What is trained, what is not, and how both make the parameters of text encoders and UNet."""
    learns = {part: of_part for part, of_part in params.items() if part != "vae"}
    if settings.trained == "lora":
        factors = init_factors(params["unet"], settings.lora.rank, jax.random.key(seed))
        frozen = learns
        return factors, frozen, lambda f, rest: {**rest, "unet": merge(rest["unet"], f, settings.lora.alpha)}
    trained = learns if "text_encoder" in settings.trained else {"unet": params["unet"]}
    frozen = {part: of_part for part, of_part in learns.items() if part not in trained}
    return trained, frozen, lambda new, rest: {**rest, **new}


def _by_first_process(save: Callable[[int, Any], bool]) -> Callable[[int, Any], bool]:
    """All processes learn what the first one decided."""

    def call(step: int, ema: Any) -> bool:
        ended = save(step, ema) if jax.process_index() == 0 else False
        return bool(multihost_utils.broadcast_one_to_all(np.array(ended))) if jax.process_count() > 1 else ended

    return call
