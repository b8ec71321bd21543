import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from transformers import CLIPImageProcessor, ConvNextImageProcessor, ViTImageProcessor

from cpi_jax.classifiers.preprocessing import Preprocessing, preprocess
from cpi_jax.classifiers.processor_config import read_preprocessing
from cpi_jax.errors import InputError

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)
apply = jax.jit(preprocess, static_argnums=1)


def photo(height, width):
    """Smooth colours with noise, uint8."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width] / 16
    waves = np.stack([np.sin(x), np.cos(y), np.sin(x + y)], -1)
    return np.clip(128 + 80 * waves + rng.normal(0, 20, (height, width, 3)), 0, 255).astype(np.uint8)


def seen(image, spec):
    return np.asarray(apply(image[None].astype(np.float32) / 255, spec))[0]


# Of 255 levels: Pillow rounds after each of two passes, and the second's cubic weights add up to 1.25 at most; float32.
ROUNDING = {"bilinear": 0.5 + 0.5 + 0.01, "bicubic": 0.5 * 1.25 + 0.5 + 0.01}


@pytest.mark.parametrize("method", ROUNDING)
@pytest.mark.parametrize("size", [(24, 40), (150, 90)])
def test_resizing_is_pillows(method, size):
    image = photo(60, 80)
    expected = Image.fromarray(image).resize(size[::-1], getattr(Image.Resampling, method.upper()))
    np.testing.assert_allclose(
        255 * seen(image, Preprocessing(size, method=method)), np.asarray(expected), atol=ROUNDING[method]
    )


def test_the_shorter_side_the_crop_and_the_numbers(strict):
    image = np.arange(4 * 8 * 3, dtype=np.float32).reshape(1, 4, 8, 3) / 96
    out = preprocess(jnp.asarray(image), Preprocessing(crop=2, mean=MEAN, std=STD))
    np.testing.assert_allclose(out, (image[:, 1:3, 3:5] - MEAN) / STD, rtol=1e-5)
    assert Preprocessing(256).resized(300, 400) == (256, 341) and Preprocessing(256).resized(400, 300) == (341, 256)
    assert Preprocessing((8, 9)).resized(300, 400) == (8, 9) and Preprocessing().resized(3, 4) == (3, 4)
    np.testing.assert_array_equal(preprocess(jnp.asarray(image), Preprocessing()), image)
    with pytest.raises(InputError, match="a crop of 6 px is larger than images of 4x8 px: set resize"):
        preprocess(jnp.asarray(image), Preprocessing(crop=6))


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"method": "nearest"}, "no method of resizing 'nearest'"),
        ({"std": (1.0, 0.0, 1.0)}, "std must be three numbers above 0"),
        ({"mean": (0.5,)}, "mean must be three numbers"),
        ({"mean": (0.1, 0.2, 0.3, 0.4)}, "mean must be three numbers"),
        (
            {"mean": (123.7, 116.3, 103.5), "std": (58.4, 57.1, 57.4)},
            "are of pixels from 0 to 255, .* divide both by 255",
        ),
        ({"std": (255.0,) * 3}, "are of pixels from 0 to 255"),
        ({"mean": (-0.5,) * 3}, r"mean must be three numbers, one a colour, of pixels in \[0, 1\], not \(-0.5"),
        ({"std": (-0.5,) * 3}, "std must be three numbers"),
        ({"crop": -1}, "must be whole pixels"),
        ({"resize": (0, 224)}, "must be whole pixels"),
        ({"resize": 64, "crop": 224}, "a crop of 224 px is larger than what resize = 64 leaves"),
        ({"resize": (64, 300), "crop": 224}, "a crop of 224 px is larger"),
    ],
)
def test_values_that_mean_nothing_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        Preprocessing(**fields)


PROCESSORS = {
    "vit": ViTImageProcessor(size={"height": 32, "width": 32}),
    "resnet": ConvNextImageProcessor(size={"shortest_edge": 28}, crop_pct=0.875, resample=3),
    "resnet, large": ConvNextImageProcessor(size={"shortest_edge": 384}, resample=2),
    "resnet, large, cubic": ConvNextImageProcessor(size={"shortest_edge": 384}, resample=3),  # transformers 5's default
    "clip": CLIPImageProcessor(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32}),
    "as they are": ViTImageProcessor(do_resize=False, do_normalize=False, rescale_factor=1 / 127.5),
    "0 to 255": ViTImageProcessor(size={"height": 32, "width": 32}, do_rescale=False, image_mean=[127.0] * 3),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_a_processors_file_gives_what_the_processor_gives(tmp_path, name):
    PROCESSORS[name].save_pretrained(tmp_path)
    spec = read_preprocessing(tmp_path / "preprocessor_config.json", "ViT")
    image = photo(48, 64)
    expected = PROCESSORS[name](image, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    np.testing.assert_allclose(seen(image, spec), expected, atol=ROUNDING[spec.method] / 255 / min(spec.std))


def test_files_from_before_the_sizes_had_names(tmp_path):
    def read(default="ViT", **config):
        path = tmp_path / "preprocessor_config.json"
        path.write_text(json.dumps(config))
        return read_preprocessing(path, default)

    old = {"image_mean": MEAN, "image_std": STD, "size": 224}
    assert read(**old, resample=2) == Preprocessing((224, 224), 0, MEAN, STD, "bilinear")
    convnext = read(**old, feature_extractor_type="ConvNextFeatureExtractor", crop_pct=0.875, resample=3)
    assert convnext == Preprocessing(256, 224, MEAN, STD, "bicubic")
    assert read("CLIP", **old, crop_size=200) == Preprocessing(224, 200, MEAN, STD, "bicubic")
    assert read("CLIP", **old, do_center_crop=False).crop == 0
    for wrong, message in {
        "resample": (1, "resample = 1; 2 .bilinear. and 3 .bicubic. are supported"),
        "do_pad": (True, "do_pad = True, which is not supported"),
        "size": ({"longest_edge": 8}, "size = .*longest_edge.* not supported"),
        "image_mean": ([123.7, 116.3, 103.5], "preprocessor_config.json: mean = .* are of pixels from 0 to 255"),
        "do_rescale": (False, "normalises pixels from 0 to 255 by a mean and std of pixels in .0, 1.: set do_rescale"),
        "image_processor_type": ("BeitImageProcessor", "no image processor .* 'Beit' among ViT, ConvNext, CLIP"),
    }.items():
        with pytest.raises(InputError, match=message[1]):
            read(**(old | {wrong: message[0]}))
    with pytest.raises(InputError, match="square crops are supported"):
        read("CLIP", crop_size={"height": 3, "width": 4})
    with pytest.raises(InputError, match=r"has no .*preprocessor_config.json"):
        read_preprocessing(tmp_path / "nowhere" / "preprocessor_config.json", "ViT")
