import ast
import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

from cpi_jax.diffusion.schedule import alphas_sigmas, solver_steps
from cpi_jax.diffusion.scheduler_config import SCHEDULERS, complete_scheduler
from cpi_jax.errors import InputError
from tests.golden import solve
from tests.mini import SCHEDULER


def test_signal_and_noise_are_the_scaled_linear_schedule():
    alpha, sigma = alphas_sigmas(SCHEDULER)
    np.testing.assert_allclose(alpha**2 + sigma**2, 1)
    assert abs(alpha[0] ** 2 - (1 - 0.00085)) < 1e-12
    assert abs(alpha[-1] ** 2 - 0.004660) < 1e-6  # Stable Diffusion's well-known last value


@pytest.mark.parametrize("steps", [1, 2, 10, 50])
def test_a_known_picture_is_reached_exactly(steps):
    """Where the prediction is always x0, the last step must arrive at x0, whatever the noise."""
    x = np.random.default_rng(0).normal(size=5)
    np.testing.assert_allclose(solve(solver_steps(SCHEDULER, steps), lambda *_: 0.3, x), 0.3, atol=1e-6)


def test_second_order_on_gaussian_data():
    """Data N(0, s^2): the flow scales x by the root of a^2 s^2 + sigma^2. Twice the steps, a fourth of the error."""
    s2 = 0.25

    def ideal(x, _, a, s):
        return a * s2 * x / (a * a * s2 + s * s)

    def error(n):
        """At t = 499, half of the way, which n = 20, 40 and 80 all reach after n / 2 steps."""
        steps = solver_steps(SCHEDULER, n)
        half = n // 2
        assert steps.timestep[half] == 499
        head = type(steps)(*(v[:half] for v in steps))
        a0, s0, a1, s1 = (float(x) for x in (steps.alpha[0], steps.sigma[0], steps.alpha[half], steps.sigma[half]))
        exact = np.sqrt((a1**2 * s2 + s1**2) / (a0**2 * s2 + s0**2))
        return abs(solve(head, ideal, 1.0) - exact)

    assert 3.0 < error(20) / error(40) < 5.5 and 3.0 < error(40) / error(80) < 5.5


def test_ddim_is_the_first_order():
    """Song et al. 2021, equation 12 without noise, on a made-up prediction."""
    steps = solver_steps(SCHEDULER, 5, solver="ddim")
    a, s = np.append(steps.alpha, 1.0), np.append(steps.sigma, 0.0)
    x = expected = 0.7
    for k in range(5):
        noise = np.sin(3 * expected)
        expected = a[k + 1] * (expected - s[k] * noise) / a[k] + s[k + 1] * noise
    found = solve(steps, lambda x, _, a, s: (x - s * np.sin(3 * x)) / a, x)
    assert abs(found - expected) < 1e-5 and not steps.mix.any()


def test_spacings_begin_and_end_where_their_definitions_say():
    config = SCHEDULER | {"steps_offset": 0, "clip_sample": True}  # the pipeline overrides both

    def ends(solver, spacing):
        timestep = solver_steps(config, 20, solver=solver, spacing=spacing).timestep
        return timestep[0], timestep[-1]

    assert ends("ddim", "trailing") == ends("dpm_solver", "trailing") == (999, 49)
    assert ends("ddim", "leading") == (951, 1)
    assert ends("ddim", "linspace") == (999, 0)
    assert ends("dpm_solver", "linspace") == (999, 50)
    own = solver_steps(config | {"timestep_spacing": "leading"}, 20, solver="ddim").timestep
    assert (own[0], own[-1]) == (951, 1)  # what the checkpoint says, where the user says nothing


def test_zero_terminal_snr_ends_in_noise():
    alpha, sigma = alphas_sigmas(SCHEDULER | {"rescale_betas_zero_snr": True})
    plain, _ = alphas_sigmas(SCHEDULER)
    assert alpha[-1] == 0 and abs(alpha[0] - plain[0]) < 1e-12
    np.testing.assert_allclose(alpha**2 + sigma**2, 1)
    assert (np.diff(alpha) < 0).all()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"_class_name": "FlowMatchEulerDiscreteScheduler"}, "FlowMatchEulerDiscreteScheduler is not supported"),
        ({"thresholding": True}, "thresholding = True is not supported, only False"),
        ({"use_karras_sigmas": True}, "use_karras_sigmas"),
        ({"trained_betas": [0.1]}, "trained_betas"),
        ({"brand_new_field": 1}, "'brand_new_field' is not known"),
        ({"rescale_betas_zero_snr": True, "prediction_type": "epsilon"}, "needs prediction_type v_prediction"),
    ],
)
def test_what_a_scheduler_asks_for_is_honoured_or_refused(change, message):
    complete_scheduler(SCHEDULER | {"skip_prk_steps": True, "clip_sample": True, "_diffusers_version": "0.6.0"})
    with pytest.raises(InputError, match=message):
        complete_scheduler(SCHEDULER | change)


def signatures():
    """Names and defaults of the arguments of diffusers' schedulers, read from their source: importing them needs torch."""
    folder = Path(importlib.util.find_spec("diffusers").submodule_search_locations[0]) / "schedulers"
    for file in folder.glob("scheduling_*.py"):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef) and node.name.removeprefix("Flax") in SCHEDULERS:
                (made,) = (part for part in node.body if getattr(part, "name", "") == "__init__")
                named = made.args.args[len(made.args.args) - len(made.args.defaults) :]
                yield node.name, {a.arg: ast.unparse(value) for a, value in zip(named, made.args.defaults)}


@pytest.mark.skipif(importlib.util.find_spec("diffusers") is None, reason="needs diffusers' source")
def test_what_a_file_leaves_out_is_its_classs_own_default():
    found = dict(signatures())
    assert {name.removeprefix("Flax") for name in found} == set(SCHEDULERS)
    for name, defaults in found.items():
        for field, value in complete_scheduler({"_class_name": name}).items():
            if field in defaults:
                assert repr(value) == defaults[field], (name, field)
        if not name.startswith("Flax"):
            for field in ("set_alpha_to_one", "rescale_betas_zero_snr"):
                assert (field in defaults) == (field in SCHEDULERS[name]), (name, field)
    for name, last in {"LCMScheduler": 4.660e-3, "TCDScheduler": 4.660e-3, "DDIMScheduler": 4.036e-5}.items():
        alpha, _ = alphas_sigmas({"_class_name": name})
        assert abs(alpha[-1] ** 2 / last - 1) < 1e-3
    bare, said = {"_class_name": "PNDMScheduler"}, {"_class_name": "PNDMScheduler", "set_alpha_to_one": False}
    assert solver_steps(bare, 5, solver="ddim").gain[-1] == solver_steps(said, 5, solver="ddim").gain[-1] < 1
    with pytest.raises(InputError, match="no beta_schedule and no _class_name whose default it could take"):
        alphas_sigmas({})


@pytest.mark.parametrize(
    "change",
    [
        {"beta_start": 0.02, "beta_end": 0.01}, {"beta_start": -0.1}, {"beta_start": 0}, {"beta_start": "0.001"},
        {"beta_end": math.nan}, {"beta_end": 1.5}, {"beta_end": None}, {"beta_start": True}, {"num_train_timesteps": 0},
        {"num_train_timesteps": "1000"}, {"num_train_timesteps": 1000.0}, {"num_train_timesteps": 10**9},
        {"num_train_timesteps": None}, {"beta_schedule": "sigmoid"}, {"beta_schedule": ["linear"]},
        {"prediction_type": "flow"}, {"prediction_type": None}, {"timestep_spacing": "karras"},
        {"rescale_betas_zero_snr": "false"}, {"set_alpha_to_one": 1}, {"_class_name": 3},
        {"_class_name": "PNDMScheduler", "rescale_betas_zero_snr": True},
    ],
)  # fmt: skip
def test_values_that_cannot_be_are_refused(change):
    field = list(change)[-1]
    with pytest.raises(InputError, match=field if field != "_class_name" else "scheduler 3 is not supported"):
        complete_scheduler(SCHEDULER | change)


def test_betas_must_lead_from_a_picture_to_noise():
    for start, end in ((0.5, 0.9), (1e-9, 1e-9), (1e-20, 0.012)):
        with pytest.raises(InputError, match=r"the scheduler's betas leave .* of a picture at the first of 1000"):
            alphas_sigmas(SCHEDULER | {"beta_schedule": "linear", "beta_start": start, "beta_end": end})


def test_unsupported_samplers_are_refused_by_name():
    for steps in (0, 1000):
        with pytest.raises(InputError, match="between 1 and 999"):
            solver_steps(SCHEDULER, steps)
    with pytest.raises(InputError, match="dpm_solver or ddim, not 'euler'"):
        solver_steps(SCHEDULER, 5, solver="euler")
    with pytest.raises(InputError, match="trailing, leading, linspace or empty, not 'karras'"):
        solver_steps(SCHEDULER, 5, spacing="karras")


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_a_stochastic_first_order_is_the_posterior_of_ddpm(kind):
    """Ho et al. 2020, equation 7, for levels that are any number of timesteps apart."""
    steps = solver_steps(SCHEDULER | {"prediction_type": kind}, 8, solver="ddim", stochastic=True)
    a, s = np.append(steps.alpha, 1.0).astype(float), np.append(steps.sigma, 0.0).astype(float)
    r2 = (a[:-1] / a[1:]) ** 2  # the signal's square that one step leaves
    np.testing.assert_allclose(steps.carry, np.sqrt(r2) * s[1:] ** 2 / s[:-1] ** 2, rtol=1e-5)
    np.testing.assert_allclose(steps.gain, a[1:] * (1 - r2) / s[:-1] ** 2, rtol=1e-5)
    assert not steps.mix.any()


def test_a_stochastic_second_order_is_sde_dpm_solver():
    """Lu et al. 2022, SDE-DPM-Solver++ 2M: the decay e^-h of the ratio, and a' (1 - e^-2h) of the extrapolation."""
    steps, plain = (solver_steps(SCHEDULER, 8, stochastic=stochastic) for stochastic in (True, False))
    ratio = steps.alpha.astype(float) / steps.sigma
    h = np.append(np.diff(np.log(ratio)), np.inf)
    following, sigma = np.append(steps.alpha[1:], 1.0), np.append(steps.sigma[1:], 0.0)
    np.testing.assert_allclose(steps.carry, sigma / steps.sigma * np.exp(-h), rtol=1e-5)
    np.testing.assert_allclose(steps.gain, following * (1 - np.exp(-2 * h)), rtol=1e-5)
    np.testing.assert_array_equal(steps.mix, plain.mix)
    assert steps.carry[-1] == 0 and steps.gain[-1] == 1
