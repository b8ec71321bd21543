"""How images are sampled: what a user can choose, and the named choices."""

from __future__ import annotations

import dataclasses
from typing import Any

from cpi_jax.diffusion.networks import Networks
from cpi_jax.errors import InputError, require_known
from cpi_jax.validation.ranges import RANGES

_ANCHORING = {"skip": "edit_friendly", "source_guidance": "edit_friendly", "strength": "sdedit"}  # what each is of


@dataclasses.dataclass(frozen=True)
class SamplerSettings:
    """How images are sampled.

    Attributes:
      steps: evaluations of the denoiser, with guidance twice as many.
      guidance_scale: weight of classifier-free guidance; exactly 1 leaves out the second pass.
      solver: "dpm_solver" (DPM-Solver++ 2M) or "ddim".
      spacing: of the timesteps: "trailing", "leading", "linspace"; empty: as the checkpoint has it, else trailing.
      guidance_interval: (low, high): guidance only at noise levels sigma / alpha in it (Kynkäänniemi et al. 2024, arXiv
        2404.07724), a fixed range of steps; empty: at all.
      dtype: "float32" or "bfloat16", of parameters and activations; the solver, norms' statistics, every softmax and the
        text encoder's activations are float32.
      height: of the images in pixels; 0: the checkpoint's own.
      width: of the images; 0: the checkpoint's own.
      negative: a prompt that guidance leads away from; empty: the empty prompt.
      guidance_rescale: share by which a guided output is brought back to the spread of the unguided one (Lin et al. 2023,
        arXiv 2305.08891, equation 16).
      clip_skip: layers of the text encoders left out at the end, for captions and not for the negative prompt, as in
        diffusers; beyond those that the checkpoint leaves out itself.
      original_size: (height, width) of the photographs that pictures are to be like, as SDXL's UNet is told; empty: of the
        images. A smaller one makes them blurred.
      crop: (top, left) pixels that were cut off, as SDXL's UNet is told.
      target_size: (height, width) that was cut, as SDXL's UNet is told; empty: of the images.
      anchor: "edit_friendly" or "sdedit": images are edits of the examples' real pictures (`anchor.py`); empty: they are
        sampled from noise.
      skip: of "edit_friendly", the noisiest levels left out; more of them keep more of the picture.
      source_guidance: of "edit_friendly", the weight of guidance of the pictures' own captions.
      strength: of "sdedit", the share of the steps that are taken; less keeps more of the picture.
      preset: named faster settings (`PRESETS`), which take the place of the fields that they name.

    Raises:
      InputError: for a field that cannot be.
    """

    steps: int = 8
    guidance_scale: float = 3.0
    solver: str = "dpm_solver"
    spacing: str = ""
    guidance_interval: tuple[float, ...] = ()
    dtype: str = "float32"
    height: int = 0
    width: int = 0
    negative: str = ""
    guidance_rescale: float = 0.0
    clip_skip: int = 0
    original_size: tuple[int, ...] = ()
    crop: tuple[int, ...] = (0, 0)
    target_size: tuple[int, ...] = ()
    anchor: str = ""
    skip: int = 0
    source_guidance: float = 1.0
    strength: float = 0.75
    preset: str = ""

    def __post_init__(self):
        if self.preset:
            if self.preset not in PRESETS:
                raise InputError(f"sampler.preset must be {', '.join(PRESETS)} or empty, not {self.preset!r}")
            for name, value in PRESETS[self.preset].items():
                object.__setattr__(self, name, value)
        for name in ("steps", "guidance_scale", "height", "width", "guidance_rescale", "clip_skip", *_ANCHORING):
            object.__setattr__(self, name, RANGES[name].validate(f"sampler.{name}", getattr(self, name)))
        for name in ("original_size", "crop", "target_size"):
            object.__setattr__(self, name, _two_sides(name, getattr(self, name)))
        if not isinstance(self.negative, str):
            raise InputError(f"sampler.negative must be a text, not {self.negative!r}")
        if self.negative and not self.negative.strip():
            raise InputError("sampler.negative holds only blanks: leave it empty for no negative prompt")
        for name in ("negative", "guidance_rescale"):
            if getattr(self, name) and self.guidance_scale == 1:
                raise InputError(f"sampler.{name} changes nothing without guidance: set sampler.guidance_scale above 1")
        levels = self.guidance_interval
        if levels or not isinstance(levels, (tuple, list)):
            if not isinstance(levels, (tuple, list)) or len(levels) != 2:
                raise InputError(f"sampler.guidance_interval must be two noise levels, low before high, not {levels}")
            low, high = (RANGES["guidance_interval"].validate("each of sampler.guidance_interval", x) for x in levels)
            if low >= high:
                raise InputError(f"sampler.guidance_interval must be two noise levels, low before high, not {levels}")
            object.__setattr__(self, "guidance_interval", (low, high))
        if self.dtype not in ("float32", "bfloat16"):
            half = "; an autoencoder can exceed what float16 can say" if self.dtype == "float16" else ""
            raise InputError(f"sampler.dtype must be float32 or bfloat16, not {self.dtype!r}{half}")
        self._validate_anchor()

    @property
    def levels_left_out(self) -> int:
        """The noisiest of the `steps` levels, which an anchored image begins behind."""
        return {"edit_friendly": self.skip, "sdedit": self.steps - round(self.strength * self.steps)}.get(
            self.anchor, 0
        )

    def _validate_anchor(self) -> None:
        require_known(self.anchor, "sampler.anchor", ("", "edit_friendly", "sdedit"))
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for name, anchor in _ANCHORING.items():
            if self.anchor != anchor and getattr(self, name) != defaults[name]:
                raise InputError(f"sampler.{name} is of sampler.anchor = {anchor!r}, which is {self.anchor!r}")
        if self.source_guidance != 1 and self.guidance_scale == 1:
            raise InputError(
                "sampler.source_guidance changes nothing where sampler.guidance_scale is 1: set that above 1"
            )
        if self.levels_left_out >= self.steps:
            less = "a smaller sampler.skip" if self.anchor == "edit_friendly" else "a larger sampler.strength"
            raise InputError(
                f"of {self.steps} sampler.steps {self.levels_left_out} are left out, so that none is taken: set {less}"
            )


def _two_sides(name: str, sides: Any) -> tuple[int, ...]:
    """Two numbers of pixels, or none where there may be none."""
    whole = ("original_size", "target_size")
    if not isinstance(sides, (tuple, list)) or len(sides) not in ((0, 2) if name in whole else (2,)):
        words = "(height, width)" if name in whole else "(top, left)"
        raise InputError(f"sampler.{name} must be two numbers of pixels, {words}, not {sides}")
    return tuple(int(RANGES[name].validate(f"each of sampler.{name}", side)) for side in sides)


# Faster and not the same pictures; what each changes was measured (docs/stable_diffusion.md).
PRESETS: dict[str, dict[str, Any]] = {
    "bf16": {"dtype": "bfloat16"},
    "interval": {"guidance_interval": (0.28, 5.42)},
    "screening": {"steps": 5, "guidance_interval": (0.28, 5.42)},
}


def find_size(networks: Networks, settings: SamplerSettings) -> tuple[int, int]:
    """Height and width of the images.

    Raises:
      InputError: for a size that the networks cannot make.
    """
    sides = []
    own_height, own_width = own = networks.image_size
    for name, own_side in zip(("height", "width"), own):
        side = getattr(settings, name) or own_side
        if side % networks.size_step:
            raise InputError(
                f"sampler.{name} must be a multiple of {networks.size_step} for this checkpoint, not {side}; its own size "
                f"is {own_height} x {own_width}"
            )
        sides.append(side)
    return sides[0], sides[1]


def validate_for(networks: Networks, settings: SamplerSettings) -> None:
    """Refuses what the networks do not have: layers to leave out, a UNet that is told sizes.

    Raises:
      InputError: names the setting.
    """
    layers = [config.get("num_hidden_layers", 12) for part, config in networks.configs.items() if "text" in part]
    if settings.clip_skip > (most := min(layers) - networks.is_told_sizes):
        raise InputError(
            f"sampler.clip_skip must be at most {most} for this checkpoint, the layers that can be left out of its text "
            f"encoder, not {settings.clip_skip}"
        )
    if not networks.is_told_sizes:
        defaults = SamplerSettings()
        for name in ("original_size", "crop", "target_size"):
            if getattr(settings, name) != getattr(defaults, name):
                raise InputError(f"sampler.{name} is what SDXL's UNet is told, and this checkpoint's is told no sizes")
