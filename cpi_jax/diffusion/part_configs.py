"""The config.json of text encoders, UNet and autoencoder: what may stand there, and what it leaves out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from cpi_jax.errors import InputError

# Settings that the networks lack or fix, and the values of them that change nothing.
_NONE, _FALSE, _ONE = (None,), (False, None), (1, None)
_SUPPORTED = {
    "text_encoder": {
        "hidden_act": ("quick_gelu", "gelu"), "use_attention_mask": _FALSE, "model_type": ("clip_text_model", "clip", None),
    },
    "unet": {
        "act_fn": ("silu", "swish"), "addition_embed_type": (None, "text_time"), "attention_type": ("default", None),
        "center_input_sample": _FALSE, "class_embed_type": _NONE, "class_embeddings_concat": _FALSE,
        "conv_in_kernel": (3, None), "conv_out_kernel": (3, None), "cross_attention_norm": _NONE,
        "downsample_padding": _ONE, "dual_cross_attention": _FALSE, "encoder_hid_dim": _NONE,
        "encoder_hid_dim_type": _NONE, "mid_block_only_cross_attention": _FALSE, "mid_block_scale_factor": _ONE,
        "mid_block_type": ("UNetMidBlock2DCrossAttn", None), "norm_eps": (1e-5,), "norm_num_groups": (32,),
        "num_attention_heads": _NONE, "num_class_embeds": _NONE, "only_cross_attention": _FALSE,
        "resnet_out_scale_factor": _ONE, "resnet_skip_time_act": _FALSE, "resnet_time_scale_shift": ("default", None),
        "reverse_transformer_layers_per_block": _NONE,
        "time_cond_proj_dim": _NONE, "time_embedding_act_fn": _NONE, "time_embedding_dim": _NONE,
        "time_embedding_type": ("positional", None), "timestep_post_act": _NONE,
    },
    "vae": {
        "act_fn": ("silu", "swish"), "latents_mean": _NONE, "latents_std": _NONE, "mid_block_add_attention": (True, None),
        "shift_factor": _NONE, "use_post_quant_conv": (True, None), "use_quant_conv": (True, None),
    },
}  # fmt: skip
_BLOCKS = {
    "unet": {"DownBlock2D", "CrossAttnDownBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"},
    "vae": {"DownEncoderBlock2D", "UpDecoderBlock2D"},
}


class _Kind(NamedTuple):
    """What a field must be, in words and as a test."""

    words: str
    fits: Callable[[Any], bool]


def _between(least: int, most: int) -> _Kind:
    words = str(least) if least == most else f"a whole number from {least} to {most:,}"
    return _Kind(words, lambda value: _whole(value) and least <= value <= most)


def _count(most: int) -> _Kind:
    return _between(1, most)


def _list_of(kind: _Kind) -> _Kind:
    def fits(value: Any) -> bool:
        return isinstance(value, (list, tuple)) and len(value) > 0 and all(map(kind.fits, value))

    return _Kind(f"a list, each entry {kind.words}", fits)


def _two_of(kind: _Kind) -> _Kind:
    def fits(value: Any) -> bool:
        return isinstance(value, (list, tuple)) and len(value) == 2 and all(map(kind.fits, value))

    return _Kind("two of them (height, width)", fits)


def _either(one: _Kind, other: _Kind) -> _Kind:
    return _Kind(f"{one.words}, or {other.words}", lambda value: one.fits(value) or other.fits(value))


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value > 0


# Limits far beyond any published network: what exceeds them is damaged, and would be built for hours.
_WIDTH, _LAYERS, _TOKENS = _count(2**16), _count(256), _between(3, 2**16)  # BOS, a word, EOS
_FLAG = _Kind("true or false", lambda value: isinstance(value, bool))
_NUMBER = _Kind("a number above 0", _positive)
_TEXT = _Kind("a text", lambda value: isinstance(value, str))
_COLOURS, _BIT = _between(3, 3), _between(0, 1)
_OF_BLOCKS = {
    "block_out_channels": _list_of(_WIDTH),
    "down_block_types": _list_of(_TEXT),
    "up_block_types": _list_of(_TEXT),
}
_KINDS: dict[str, dict[str, _Kind]] = {
    "text_encoder": {
        "vocab_size": _count(2**24), "hidden_size": _WIDTH, "intermediate_size": _WIDTH, "num_hidden_layers": _LAYERS,
        "num_attention_heads": _WIDTH, "max_position_embeddings": _TOKENS, "hidden_act": _TEXT, "layer_norm_eps": _NUMBER,
    },
    "unet": _OF_BLOCKS | {
        "sample_size": _either(_count(4096), _two_of(_count(4096))),
        "in_channels": _WIDTH, "out_channels": _WIDTH, "layers_per_block": _LAYERS,
        "attention_head_dim": _either(_WIDTH, _list_of(_WIDTH)), "cross_attention_dim": _WIDTH,
        "transformer_layers_per_block": _either(_LAYERS, _list_of(_LAYERS)), "use_linear_projection": _FLAG,
        "flip_sin_to_cos": _FLAG, "freq_shift": _BIT,
    },
    "vae": _OF_BLOCKS | {
        "in_channels": _COLOURS, "out_channels": _COLOURS, "latent_channels": _WIDTH, "layers_per_block": _LAYERS,
        "norm_num_groups": _WIDTH, "scaling_factor": _NUMBER,
    },
}  # fmt: skip
# Others have a default, the same as in PyTorch.
_NEEDED = {
    "text_encoder": ("hidden_size", "max_position_embeddings", "vocab_size"),
    "unet": ("sample_size", "cross_attention_dim", "block_out_channels", "down_block_types", "up_block_types"),
    "vae": ("block_out_channels", "down_block_types", "up_block_types"),
}


# Of the UNet, one value or a list of one for each block; the networks have one for all blocks.
_ALIKE = ("cross_attention_dim", "layers_per_block", "only_cross_attention")


def complete_configs(configs: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Configurations as the networks read them, of what the releases of diffusers write.

    A list of equal values, one for each block, becomes that value. A UNet that does not say the size of its latents has the
    size that the autoencoder makes of its own images.

    Args:
      configs: of the parts; see `Networks.configs`.
    """
    unet, vae = dict(configs["unet"]), configs["vae"]
    blocks = unet.get("block_out_channels")
    for field in _ALIKE:
        values = unet.get(field)
        if isinstance(values, (list, tuple)) and isinstance(blocks, (list, tuple)) and len(values) == len(blocks):
            first = values[0] if values else None
            unet[field] = first if all(value == first for value in values) else values
    size, halvings = vae.get("sample_size"), vae.get("down_block_types")
    if unet.get("sample_size") is None and _whole(size) and isinstance(halvings, (list, tuple)) and halvings:
        latents, rest = divmod(size, 2 ** (len(halvings) - 1))
        unet |= {} if rest else {"sample_size": latents}
    return configs | {"unet": unet}


REFINER = (
    "this is SDXL's refiner, which goes on from another checkpoint's pictures and makes none by itself: name the base "
    "checkpoint"
)
_SIZES = 6  # numbers that SDXL's UNet is told of a picture: original height and width, crop, target height and width


def has_two_encoders(configs: dict[str, dict[str, Any]]) -> bool:
    """Whether the UNet is told the pooled caption of a second text encoder and a picture's sizes, as SDXL's is."""
    return configs["unet"].get("addition_embed_type") == "text_time"


def text_parts(configs: dict[str, dict[str, Any]]) -> tuple[str, ...]:
    """The names of the text encoders that the UNet asks for."""
    return ("text_encoder", "text_encoder_2") if has_two_encoders(configs) else ("text_encoder",)


def network_parts(configs: dict[str, dict[str, Any]]) -> tuple[str, ...]:
    """The names of all networks."""
    return (*text_parts(configs), "unet", "vae")


def validate_configs(configs: dict[str, dict[str, Any]]) -> None:
    """Refuses configurations that describe no network, one that is not built here, or parts that do not fit each other.

    Args:
      configs: of the parts; see `Networks.configs`.

    Raises:
      InputError: names the file and the field.
    """
    for part in network_parts(configs):
        kind = part.removesuffix("_2")
        config, kinds, file = configs[part], _KINDS[kind], f"{part}/config.json"
        if missing := [field for field in _NEEDED[kind] if field not in config]:
            raise InputError(f"{file} has no {missing[0]}, which the network needs")
        for field, value in config.items():
            if field in kinds and not kinds[field].fits(value):
                raise InputError(f"{file} has {field} = {value!r}, which must be {kinds[field].words}")
            if value not in _SUPPORTED[kind].get(field, (value,)):
                raise InputError(f"{file} has {field} = {value!r}, which is not supported")
    for part, known in _BLOCKS.items():
        config, file = configs[part], f"{part}/config.json"
        fields = ("block_out_channels", "down_block_types", "up_block_types")
        if other := {*config[fields[1]], *config[fields[2]]} - known:
            raise InputError(f"{file} has blocks of the kind {min(other)}, which are not supported")
        if len({len(config[field]) for field in fields}) > 1:
            raise InputError(
                f"{file} has {', '.join(f'{len(config[field])} {field}' for field in fields)}, not one of each a block"
            )
        groups = config.get("norm_num_groups", 32)
        if any(width % groups for width in config["block_out_channels"]):
            raise InputError(
                f"{file} has block_out_channels = {config['block_out_channels']!r}, which do not part into {groups} groups "
                "of norms (norm_num_groups)"
            )
    texts, unet, vae = {part: configs[part] for part in text_parts(configs)}, configs["unet"], configs["vae"]
    for part, text in texts.items():
        width, heads = text["hidden_size"], text.get("num_attention_heads", 8)
        if width % heads:
            raise InputError(
                f"{part}/config.json has hidden_size = {width}, which does not part into num_attention_heads = {heads}"
            )
    if has_two_encoders(configs):
        _validate_two_encoders(configs)
    heads, widths = unet.get("attention_head_dim", 8), unet["block_out_channels"]
    of_block = heads if isinstance(heads, (list, tuple)) else [heads] * len(widths)
    if len(of_block) != len(widths) or any(width % head for width, head in zip(widths, of_block)):
        raise InputError(
            f"unet/config.json has attention_head_dim = {heads!r} (numbers of heads), into which its block_out_channels "
            f"{list(widths)} do not part"
        )
    layers = unet.get("transformer_layers_per_block", 1)
    if isinstance(layers, (list, tuple)) and len(layers) != len(widths):
        raise InputError(
            f"unet/config.json has transformer_layers_per_block = {layers!r}, and its block_out_channels are of "
            f"{len(widths)} blocks"
        )
    widths = [text["hidden_size"] for text in texts.values()]
    if sum(widths) != (wanted := unet["cross_attention_dim"]):
        given = "text encoder gives" if len(texts) == 1 else "two text encoders together give"
        raise InputError(
            f"the {given} {sum(widths)} numbers a token (hidden_size) and the UNet takes {wanted} (cross_attention_dim)"
        )
    latent, taken = vae.get("latent_channels", 4), unet.get("in_channels", 4)
    if latent != taken:
        raise InputError(
            f"the UNet takes {taken} channels and a picture's latents have {latent}: inpainting, depth and upscaling "
            "checkpoints are not supported"
        )
    if (given := unet.get("out_channels", 4)) != taken:
        raise InputError(
            f"unet/config.json has in_channels = {taken} and out_channels = {given}, which must be the same"
        )


def _validate_two_encoders(configs: dict[str, dict[str, Any]]) -> None:
    """Refuses parts of SDXL that do not fit each other."""
    first, second, unet = (configs[part] for part in ("text_encoder", "text_encoder_2", "unet"))
    for file, config, fields in (
        ("unet/config.json", unet, ("addition_time_embed_dim", "projection_class_embeddings_input_dim")),
        ("text_encoder_2/config.json", second, ("projection_dim",)),
    ):
        for field in fields:
            if not _WIDTH.fits(value := config.get(field)):
                raise InputError(f"{file} has {field} = {value!r}, which must be {_WIDTH.words} in SDXL")
    pooled, waves = second["projection_dim"], unet["addition_time_embed_dim"]
    told = unet["projection_class_embeddings_input_dim"]
    if told == pooled + (_SIZES - 1) * waves:
        raise InputError(REFINER)
    if waves % 2 or told != pooled + _SIZES * waves:
        raise InputError(
            f"unet/config.json has projection_class_embeddings_input_dim = {told}, which must be the second text encoder's "
            f"projection_dim = {pooled} and {_SIZES} times an even addition_time_embed_dim = {waves}"
        )
    if first["max_position_embeddings"] != second["max_position_embeddings"]:
        raise InputError(
            f"the two text encoders read {first['max_position_embeddings']} and {second['max_position_embeddings']} tokens "
            "(max_position_embeddings), which must be the same"
        )
