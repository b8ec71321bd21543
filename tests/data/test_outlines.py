"""Objects' outlines, as pycocotools 2.0.11 draws them and as the pictures are cut."""

import numpy as np
import pytest
from PIL import Image

from cpi_jax.data.images import ImageFiles
from cpi_jax.data.outlines import Outlines, draw_outline, validate_outline
from cpi_jax.errors import InputError


def pixels(*rows):
    return np.array([[sign == "1" for sign in row] for row in rows])


# What pycocotools' `encode` makes of the mask, and `decode` of the polygons.
TEXT = "011032ONO1O1100NO02_1NbN3O00M023NM012O30L2"
OF_TEXT = pixels(
    "11001111111010", "00101111110010", "10111111100100", "00101111110101", "01011111110100", "00001111101110",
    "00101111100001", "11101111101101", "11111111100001",
)  # fmt: skip
POLYGONS = [[1.5, 1.2, 11.3, 2.6, 9.1, 8.4, 4.4, 6.8], [10.0, 0.5, 13.5, 0.5, 13.5, 4.2]]
OF_POLYGONS = pixels(
    "00000000000000", "00110000000111", "00111111111011", "00011111111001", "00011111111000", "00001111110000",
    "00001111110000", "00000001110000", "00000000000000",
)  # fmt: skip


def test_run_lengths_are_as_pycocotools_reads_them():
    np.testing.assert_array_equal(draw_outline({"size": [9, 14], "counts": TEXT}, 9, 14), OF_TEXT)
    columns = OF_TEXT.T.ravel()
    changes = np.flatnonzero(np.diff(columns)) + 1
    runs = np.diff([0, *([0] if columns[0] else []), *changes, columns.size]).tolist()
    np.testing.assert_array_equal(draw_outline({"size": [9, 14], "counts": runs}, 9, 14), OF_TEXT)


def test_polygons_have_the_pixels_whose_centres_they_hold():
    square = draw_outline([[2, 1, 5, 1, 5, 4, 2, 4]], 6, 7)
    assert square.sum() == 9 and square[1:4, 2:5].all()
    ring = draw_outline(
        [[0, 0, 6, 0, 6, 6, 0, 6, 0, 0, 2, 2, 4, 2, 4, 4, 2, 4, 2, 2]], 6, 6
    )  # a hole, by the way there
    assert ring.sum() == 36 - 4 and not ring[2:4, 2:4].any()
    beyond = draw_outline([[-0.5, -0.4, 7.6, -0.4, 7.6, 6.2, -0.5, 6.2]], 6, 7)
    assert beyond.all()
    drawn = draw_outline(POLYGONS, 9, 14)
    differ = drawn != OF_POLYGONS  # which draws borders by a rule of its own
    assert differ.sum() <= 8
    inside = np.pad(OF_POLYGONS, 1)
    neighbours = sum(inside[1 + i : 10 + i, 1 + j : 15 + j].astype(int) for i in (-1, 0, 1) for j in (-1, 0, 1))
    assert ((neighbours > 0) & (neighbours < 9))[differ].all()


def test_masks_are_cut_and_resized_as_pictures_are():
    """An object that is bright in a dark picture: its pixels, read as a picture's, are those of its mask."""
    rng = np.random.default_rng(0)
    for height, width, size in ((40, 60, (16, 16)), (30, 20, (12, 20)), (9, 14, (9, 14)), (10, 10, (25, 15))):
        drawn = np.zeros((height, width), bool)
        drawn[4:17, 3 : rng.integers(8, width)] = True
        columns = drawn.T.ravel()
        runs = np.diff([0, *(np.flatnonzero(np.diff(columns)) + 1), columns.size]).tolist()
        outlines = Outlines([[[{"size": [height, width], "counts": runs}], []]], [(height, width)])
        np.testing.assert_array_equal(outlines[0], [drawn, drawn & False])
        mask, empty = outlines.with_size(size)[0]
        picture = ImageFiles([Image.fromarray(drawn.astype(np.uint8) * 255)]).with_size(size)[0][..., 0]
        assert mask.shape == size and not empty.any()
        assert mask[picture > 150].all() and not picture[~mask].max(initial=0) > 128
    three = Outlines([[[]], [[{"size": [1, 2], "counts": [0, 2]}]], [[]]], [(1, 2)] * 3, (4, 4))
    assert [three[np.array([1, 0])][n].all() for n in range(2)] == [True, False] and len(three[1:]) == 2


@pytest.mark.parametrize(
    "outline, message",
    [
        (None, "it is neither polygons nor run lengths"),
        ([], "it is neither polygons nor run lengths"),
        ([[1, 2, 3, 4]], "three corners or more"),
        ([[1, 2, 3, 4, 5, 5, 6]], "three corners or more"),
        ([[1, 2, 3, 4, "5", 6]], "three corners or more"),
        ([[1, 2, 3, 4, float("nan"), 6]], "three corners or more"),
        ([[1, 2, 3, 4, 16.5, 6]], r"its corner \(16.5, 6\) lies outside the picture of 14 x 9 pixels"),
        ({"size": [14, 9], "counts": TEXT}, r"its size \[height, width\] is \[14, 9\] and the picture's \[9, 14\]"),
        ({"size": [9, 14], "counts": TEXT[:-1]}, "its runs are of 123 pixels and the picture has 126"),
        ({"size": [9, 14], "counts": TEXT + "~"}, "neither lengths of runs nor a text of them"),
        ({"size": [9, 14], "counts": [0, 130, -4]}, "its counts hold a run of -4 pixels"),
        ({"size": [9, 14], "counts": [0.5, 125.5]}, "neither lengths of runs nor a text of them"),
        ({"size": [9, 14]}, "neither lengths of runs nor a text of them"),
    ],
)
def test_what_is_no_outline_is_refused(outline, message):
    with pytest.raises(InputError, match=message):
        validate_outline(outline, 9, 14)
