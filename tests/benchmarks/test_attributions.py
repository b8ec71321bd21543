"""Reading attributions out for a model is attributing that model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.recovery.attributions import SIZE_OF_SIGNED, bottleneck_attributions
from cpi_jax.baselines.gradcam import Split, split_resnet
from cpi_jax.baselines.table import baseline_table, heat_maps
from cpi_jax.classifiers.scorer import Scorer, load_resnet
from cpi_jax.data.shapes import make_shapes
from cpi_jax.embedded import SHAPES_DETECTOR

SIZES = {"num_segments": 12, "num_samples": 16}
# Each method once, so that the test compiles in half the time.
CHOSEN = {
    "outcome": ("GradCAM (without relu)", "LIME (median)", "gradient x input"),
    "logits": ("GradCAM", "LIME (mean)", "gradient"),
}


@pytest.mark.slow
def test_read_out_is_the_bottleneck_itself():
    trunk = load_resnet(SHAPES_DETECTOR)
    examples = make_shapes(5, seed=1, masks=True)
    weights = np.array([[1.0, -2.0, 0.5, 0.0, 3.0, -1.0], [0.0, 1.0, 1.0, 1.0, -1.0, 0.5]])
    key = jax.random.key(2)
    found, seconds = bottleneck_attributions(key, trunk, weights, examples, batch_size=4, **SIZES)
    assert set(seconds) == {*heat_maps(trunk), "occlusion"}
    split, readout = split_resnet(trunk), jnp.asarray(weights[1], jnp.float32)

    def model(squash):
        alone = Scorer(trunk.params, lambda p, x: squash(trunk.apply(p, x)) @ readout[:, None])
        return alone, Split(split.features, lambda p, x: squash(split.head(p, x)) @ readout[:, None])

    for kind, squash in (("outcome", jax.nn.sigmoid), ("logits", lambda x: x)):
        alone, cut = model(squash)
        methods = heat_maps(alone, split=cut, **SIZES)
        chosen = {name: methods[name] for name in CHOSEN[kind]}
        frame = baseline_table(key, alone, examples, chosen, batch_size=4)
        for (method, how), part in frame.groupby(["method", "how"]):
            value = found[method, kind, how][1]
            scale = np.abs(part.importance).max()
            np.testing.assert_allclose(value, part.importance, atol=2e-3 * scale, err_msg=f"{method}, {kind}, {how}")
            if how == "signed":
                np.testing.assert_allclose(found[method, kind, SIZE_OF_SIGNED][1], np.abs(value))
