"""Which of six shapes does a classifier rely on? The planted truth is known; runs on two CPU cores.

    python launch/explain.py --config=configs/shapes.py --workdir=runs/shapes
    python launch/explain.py --config=configs/shapes.py:tiny --workdir=runs/tiny     (under a minute)

Any field can be overridden: --config.data.num_examples=64 --config.sampler.steps=20 --config.draws=4
"""

from ml_collections import ConfigDict

from cpi_jax.data.shapes import PLANTED_BIAS, PLANTED_WEIGHTS


def get_config(size: str = "full") -> ConfigDict:
    if size not in ("full", "tiny"):
        raise ValueError(f"configs/shapes.py comes as 'full' or 'tiny', not {size!r}")
    return ConfigDict(
        {
            "seed": 0,
            "draws": 2 if size == "full" else 1,
            "concepts": (),  # names to study; empty: all six
            "groups": (),  # concepts that are permuted jointly besides: (("red circle", "red rectangle"),)
            "interactions": (),  # pairs of concepts: (("red circle", "blue circle"),), or ("all",)
            "condition_on": (),  # permute among examples that agree in these concepts; ("all",): in all others
            "control": "",  # a phrase that says nothing, permuted as a negative control: "a photo"
            "data": {
                "num_examples": 200 if size == "full" else 24,
                "seed": 0,
                "start": 0,  # first id; the generator, f and h were trained on ids from 1,000,000 on
                "prevalence": 0.5,
                "correlation": 0.0,
                "weights": PLANTED_WEIGHTS,
                "bias": PLANTED_BIAS,
            },
            "generator": {"path": ""},  # empty: the embedded checkpoint
            "sampler": {"steps": 8, "guidance_scale": 3.0},
            "target": {"path": ""},
            "detector": {"path": ""},
            "empty": "an empty scene",
            "separator": ", ",
            "batch_size": 64,  # of each local device; 0: as many as make it faster
            "unit_size": 128,
            "plan_only": False,  # say what would be generated, and end
            "max_images": 0,  # end after so many; the same command goes on
            "max_minutes": 0.0,
            "sampled_examples": 6,  # whose images are kept for the report
            "keep_images": "",  # "png" or "jpeg": keep all images
            "profile": False,  # record a few batches for jax.profiler
            "statistics": {
                "metrics": ("auroc", "accuracy", "neg_log_loss"),
                "num_bootstrap": 1_000,
                "level": 0.95,
                "interval": "jackknife",  # or "bootstrap"
                "alternative": "greater",  # or "two-sided": harmful concepts too
                "stop_width": 0.0,  # draws end once every interval is narrower; 0: never
                "stop_top_k": 0,  # ... once the k most important concepts are settled
                "stop_share_of_draws": 0.0,  # ... once draws are less than this share of the variance
            },
            "checks": {"generation_margin": 0.03, "leak_margin": 0.03, "min_faithful": 0.95},
        }
    )
