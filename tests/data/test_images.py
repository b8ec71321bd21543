import io
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from cpi_jax.data.images import ImageFiles, batches_of
from cpi_jax.errors import InputError

PHOTO = skimage.data.chelsea()  # 300 x 451


@pytest.fixture
def root(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(PHOTO).save(tmp_path / "in" / "a.png")
    Image.fromarray(PHOTO[:, ::-1]).save(tmp_path / "b.png")
    Image.fromarray(PHOTO.transpose(1, 0, 2)).save(tmp_path / "c.png")
    return tmp_path


PATHS = ["in/a.png", "b.png", "c.png"]


def test_images_come_in_order_whatever_the_batch(root):
    images = ImageFiles(PATHS * 7, root=root, size=32)
    one, other = images.read(), np.concatenate(list(images.batches(4)))
    assert one.shape == (21, 32, 32, 3) and one.dtype == np.uint8
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(one[3:6], one[:3])
    np.testing.assert_array_equal(one[1], images[1])
    # The shorter side leads and the centre stays; Pillow rounds after each direction.
    np.testing.assert_allclose(one[0].astype(int), one[2].transpose(1, 0, 2).astype(int), atol=1)


def test_resizing_averages_and_cuts_the_centre(root):
    """Each of 3 x 3 pixels is the antialiased mean of 100 x 100 of the centre; a stripe of colour stays where it was."""
    found = ImageFiles(["in/a.png"], root=root, size=3).read()[0]
    centre = PHOTO[:, 75:375].astype(float)  # 75.5 to 375.5, to half a pixel
    np.testing.assert_allclose(found.mean((0, 1)), centre.mean((0, 1)), atol=3)
    assert np.corrcoef(found.ravel(), centre.reshape(3, 100, 3, 100, 3).mean((1, 3)).ravel())[0, 1] > 0.99


def test_parts_are_read_when_asked(root):
    images = ImageFiles([*PATHS, "b.png"], root=root)
    (root / "c.png").write_bytes(b"broken")
    np.testing.assert_array_equal(images[np.array([1, 0])].read()[0], PHOTO[:, ::-1])
    assert len(images[np.array([True, False, False, True])]) == 2 and len(images[1:]) == 3
    with pytest.raises(InputError, match=r"the image of row 3 \(c.png\) cannot be read"):
        images[1:].read()
    with pytest.raises(InputError, match=r"the image of row 3 \(c.png\) cannot be read"):
        images.validate()


def test_what_is_no_picture_is_named(root):
    (root / "b.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"row 2 \(b.png\) cannot be read: it is no image, or of a kind"):
        ImageFiles(PATHS, root=root, size=8).read()
    (root / "c.png").unlink()
    files = ["a.png", None, np.zeros((4, 4), np.float32), np.zeros((4, 4, 5), np.uint8)]
    for row, reason in enumerate(
        ("it is a str, not encoded bytes", "it is a NoneType", "floating-point", "Cannot handle")
    ):
        with pytest.raises(InputError, match=rf"row {row + 1} cannot be read.*{reason}"):
            ImageFiles(files, size=8)[row]


@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # what Pillow says of damaged TIFF files
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"])
def test_damaged_files_are_refused_in_a_sentence(kind):
    whole, rng = saved(Image.fromarray(PHOTO[:40, :40]), kind), np.random.default_rng(0)
    read = 0
    for _ in range(60):
        content = bytearray(whole[: rng.integers(1, len(whole))])
        for at in rng.integers(0, len(content), 4):
            content[at] = rng.integers(256)
        try:
            read += ImageFiles([bytes(content)], size=8)[0].shape == (8, 8, 3)
        except InputError as error:
            assert str(error).startswith("the image of row 1 cannot be read: ") and "object at 0x" not in str(error)
    assert read < 60


def test_a_truncated_image_and_images_of_many_sizes(root):
    content = io.BytesIO()
    Image.fromarray(PHOTO).save(content, "JPEG")
    (root / "b.png").write_bytes(content.getvalue()[:5000])
    with pytest.raises(InputError, match=r"row 2 \(b.png\) cannot be read.*truncated"):
        ImageFiles(PATHS, root=root, size=8).read()
    with pytest.raises(InputError, match="image 2 has 300 x 451 pixels and others have 451 x 300: name one size"):
        ImageFiles(["in/a.png", "c.png"], root=root).read()


def saved(image, kind="PNG", **options):
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def test_every_mode_becomes_rgb():
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4) * 16
    clear = np.dstack([grey, grey, grey, np.full((4, 4), 0, np.uint8)])
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees clockwise
    images = ImageFiles(
        [
            saved(Image.fromarray(grey)),
            saved(Image.fromarray(grey.astype(np.uint16) * 257)),  # 16 bits
            saved(Image.fromarray(clear)),  # transparent: white
            saved(Image.fromarray(np.dstack([grey] * 3)).convert("CMYK"), "TIFF"),
            saved(Image.fromarray(np.dstack([grey] * 3)), exif=turned.tobytes()),
            Image.fromarray(grey).convert("P"),
            np.dstack([grey] * 3),
            grey[..., None],
        ]
    )
    found = images.read()
    for i in (0, 1, 3, 5, 6, 7):
        np.testing.assert_allclose(found[i], np.dstack([grey] * 3), atol=1)
    assert (found[2] == 255).all()
    np.testing.assert_array_equal(found[4][..., 0], np.rot90(grey, -1))


@pytest.mark.parametrize(
    "path, message",
    [
        ("../b.png", "row 2: the image path '../b.png' leaves the folder"),
        ("/etc/passwd", "row 2: the image path '/etc/passwd' leaves the folder"),
        ("in/../../x.png", "leaves the folder"),
        ("none.png", "row 2: there is no image 'none.png'"),
        ("no/such.png", "row 2: there is no image"),
        ("", "row 2 has no image path, but ''"),
        (float("nan"), "row 2 has no image path, but nan"),
    ],
)
def test_paths_that_are_no_images_of_the_folder(root, path, message):
    with pytest.raises(InputError, match=message):
        ImageFiles(["b.png", path], root=root)


def test_links_stay_within_the_folder(root):
    (root / "own.png").symlink_to("b.png")
    np.testing.assert_array_equal(ImageFiles([Path("own.png")], root=root)[0], PHOTO[:, ::-1])
    outside = root / "in" / "out.png"
    outside.symlink_to(root / "b.png")
    (root / "in" / "up").symlink_to(root)
    for path in ("out.png", "up/b.png"):
        with pytest.raises(InputError, match=rf"row 1: the image path '{path}' leaves the folder .* by a link"):
            ImageFiles([path], root=root / "in")


def test_arrays_are_batched_alike():
    array = np.zeros((5, 2, 2, 3), np.uint8)
    assert [len(batch) for batch in batches_of(array, 2)] == [2, 2, 1]
