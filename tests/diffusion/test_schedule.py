from pathlib import Path

import numpy as np
import pytest

from cpi_jax.diffusion.schedule import alphas_sigmas, dpm_solver_steps, prediction_type
from tests.mini import SCHEDULER

TORCH = np.load(Path(__file__).parents[1] / "fixtures" / "torch_solver.npz")


def solve(steps, denoise, x):
    """The recurrence in float64, with `denoise(x, alpha, sigma)` in the network's place."""
    previous = 0.0
    for k in range(len(steps.timestep)):
        clean = denoise(x, float(steps.alpha[k]), float(steps.sigma[k]))
        mix = float(steps.mix[k])
        x = float(steps.carry[k]) * x + float(steps.gain[k]) * ((1 + mix) * clean - mix * previous)
        previous = clean
    return x


def test_signal_and_noise_are_the_scaled_linear_schedule():
    alpha, sigma = alphas_sigmas(SCHEDULER)
    np.testing.assert_allclose(alpha**2 + sigma**2, 1)
    assert abs(alpha[0] ** 2 - (1 - 0.00085)) < 1e-12
    assert abs(alpha[-1] ** 2 - 0.004660) < 1e-6  # Stable Diffusion's well-known last value


@pytest.mark.parametrize("steps", [1, 2, 10, 50])
def test_a_known_picture_is_reached_exactly(steps):
    """Where the prediction is always x0, the last step must arrive at x0, whatever the noise."""
    x = np.random.default_rng(0).normal(size=5)
    np.testing.assert_allclose(solve(dpm_solver_steps(SCHEDULER, steps), lambda *_: 0.3, x), 0.3, atol=1e-6)


def test_second_order_on_gaussian_data():
    """Data N(0, s^2): the flow scales x by the root of a^2 s^2 + sigma^2. Twice the steps, a fourth of the error."""
    s2 = 0.25

    def ideal(x, a, s):
        return a * s2 * x / (a * a * s2 + s * s)

    def error(n):
        """At t = 499, half of the way, which n = 20, 40 and 80 all reach after n / 2 steps."""
        steps = dpm_solver_steps(SCHEDULER, n)
        half = n // 2
        assert steps.timestep[half] == 499
        head = type(steps)(*(v[:half] for v in steps))
        a0, s0, a1, s1 = (float(x) for x in (steps.alpha[0], steps.sigma[0], steps.alpha[half], steps.sigma[half]))
        exact = np.sqrt((a1**2 * s2 + s1**2) / (a0**2 * s2 + s0**2))
        return abs(solve(head, ideal, 1.0) - exact)

    assert 3.0 < error(20) / error(40) < 5.5 and 3.0 < error(40) / error(80) < 5.5


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("steps", [1, 2, 10, 25])
def test_equals_pytorch_diffusers(kind, steps):
    """DPMSolverMultistepScheduler of diffusers 0.39.0 with the network sin(3 x + t / 500), see fixtures/make_torch.py."""
    coefficients = dpm_solver_steps(SCHEDULER, steps)
    np.testing.assert_array_equal(coefficients.timestep, TORCH[f"timesteps_{steps}"])
    x, previous = TORCH["start"].astype(np.float64), 0.0
    for t, a, s, carry, gain, mix in zip(*coefficients):
        output = np.sin(3 * x + t / 500)
        clean = a * x - s * output if kind == "v_prediction" else (x - s * output) / a
        x = carry * x + gain * ((1 + mix) * clean - mix * previous)
        previous = clean
    np.testing.assert_allclose(x, TORCH[f"{kind}_{steps}"], rtol=2e-5, atol=2e-5)


def test_unsupported_schedules_are_refused_by_name():
    with pytest.raises(ValueError, match="squaredcos_cap_v2"):
        alphas_sigmas(SCHEDULER | {"beta_schedule": "squaredcos_cap_v2"})
    with pytest.raises(ValueError, match="zero_snr"):
        alphas_sigmas(SCHEDULER | {"rescale_betas_zero_snr": True})
    with pytest.raises(ValueError, match="'sample'"):
        prediction_type({"prediction_type": "sample"})
    with pytest.raises(ValueError, match="between 1 and 1000"):
        dpm_solver_steps(SCHEDULER, 0)
