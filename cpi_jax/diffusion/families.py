"""Families of image generators that are not built here, known by their pipeline's class or by names of their tensors."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

SUPPORTED = "Stable Diffusion 1.x, 2.x and XL (text to image)"


class Family(NamedTuple):
    """A family of generators.

    Attributes:
      name: as people say it.
      pipelines: a pattern that the class of its pipeline in model_index.json begins with; empty: it has none.
      tensors: a pattern of a name that its single files hold and those of others do not; empty: it has no such file.
    """

    name: str
    pipelines: str = ""
    tensors: str = ""


# Of several that fit, the first. Names of tensors as in the families' own files, ComfyUI's and diffusers' (0.39).
FAMILIES = (
    Family("Chroma", r"Chroma", r"distilled_guidance_layer\."),
    Family("FLUX.2", r"Flux2", r"(single_stream_modulation\.lin|double_stream_modulation_img\.)"),
    Family("HunyuanVideo", r"Hunyuan(Video|Skyreels)", r"txt_in\.individual_token_refiner\."),
    Family("HunyuanImage", r"HunyuanImage"),
    Family("Hunyuan-DiT", r"HunyuanDiT", r"mlp_t5\.0\."),
    Family("FLUX.1", r"Flux", r"(double_blocks\.0\.img_attn|single_transformer_blocks\.0\.proj_mlp)\."),
    Family("Stable Diffusion 3.5", "", r"joint_blocks\.(0\.x_block\.attn\.ln_q|37\.x_block\.mlp)\."),
    Family("Stable Diffusion 3", r"StableDiffusion3", r"joint_blocks\.0\."),
    Family("Qwen-Image", r"QwenImage", r"transformer_blocks\.0\.img_mod\.1\."),
    Family("Z-Image", r"ZImage", r"(^|\.)layers\.0\.adaLN_modulation\.0\."),
    Family("Lumina", r"Lumina", r"(^|\.)cap_embedder\.[01]\."),
    Family("HiDream", r"HiDream", r"double_stream_blocks\.0\."),
    Family("AuraFlow", r"AuraFlow", r"(double_layers\.0\.attn\.w1q|joint_transformer_blocks\.0)\."),
    Family("LTX-Video", r"LTX", r"(^|\.)patchify_proj\."),
    Family("Sana", r"Sana", r"(attention_y_norm|mlp\.inverted_conv|ff\.conv_inverted)\."),
    Family("PixArt", r"PixArt", r"(^|\.)(t_block\.1|y_embedder\.y_embedding|adaln_single\.linear)"),
    Family(
        "Stable Cascade",
        r"(StableCascade|Wuerstchen)",
        r"(clip_txt_mapper|effnet_mapper\.0|down_blocks\.1\.0\.channelwise)\.",
    ),
    Family("Kandinsky", r"Kandinsky", r"(visual_transformer_blocks\.0|add_embedding\.image_norm)\."),
    Family("DeepFloyd IF", r"IF[A-Z]"),
    Family("CogView or CogVideoX", r"CogV"),
    Family("Cosmos", r"Cosmos", r"^net\.x_embedder\.proj\.1\."),
    Family("Mochi", r"Mochi", r"t5_yproj\."),
    Family("Wan", r"Wan", r"(^|\.)head\.modulation$"),
    Family("Playground 2.5", "", r"^edm_mean$"),
    Family("CosXL", "", r"^edm_vpred\.sigma_max$"),
    Family("Stable Video Diffusion", r"StableVideoDiffusion", r"input_blocks\.1\.(0|1)\.time_(stack|mix_blocks)\."),
    Family("Stable unCLIP", r"StableUnCLIP", r"^(noise_augmentor|embedder\.model\.visual)\."),
    Family("AnimateDiff", r"AnimateDiff", r"motion_modules\.0\."),
    Family("ControlNet", r"StableDiffusion(XL)?ControlNet", r"^(control_model|zero_convs|controlnet_cond_embedding)\."),
    Family("inpainting", r"StableDiffusion(XL)?Inpaint"),
    Family("latent consistency model", r"LatentConsistencyModel"),
)


def family_of_pipeline(kind: str) -> str | None:
    """The family of a pipeline's class, such as "FluxPipeline"; None where it is not known."""
    return next((family.name for family in FAMILIES if family.pipelines and re.match(family.pipelines, kind)), None)


def family_of_tensors(names: Collection[str]) -> tuple[str, str] | None:
    """The family that names of tensors tell, and the name that tells it; None where none does."""
    for family in FAMILIES:
        if family.tensors:
            for name in names:
                if re.search(family.tensors, name):
                    return family.name, name
    return None
