"""Floating-point operations of a traced function: of its products and convolutions, loops as often as they run."""

from __future__ import annotations

import math
from typing import Any

from jax.extend.core import ClosedJaxpr, Jaxpr


def count_flops(jaxpr: ClosedJaxpr | Jaxpr) -> float:
    """Twice the multiply-adds of every dot product and convolution; of a branch, the larger side.

    Args:
      jaxpr: as `jax.make_jaxpr` gives it; under `shard_map` a device's share is counted.

    Returns:
      A count; a `while` loop of unknown length counts once.
    """
    jaxpr = jaxpr.jaxpr if isinstance(jaxpr, ClosedJaxpr) else jaxpr
    return sum(_of_equation(equation) for equation in jaxpr.eqns)


def _of_equation(equation: Any) -> float:
    name, params = equation.primitive.name, equation.params
    out = equation.outvars[0].aval.shape if equation.outvars else ()
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        return 2.0 * math.prod(out) * math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape
        outputs = params["dimension_numbers"].rhs_spec[0]
        return 2.0 * math.prod(out) * math.prod(kernel) / kernel[outputs]
    if name == "cond":
        return max(map(count_flops, params["branches"]))
    inner = [value for value in params.values() if isinstance(value, (ClosedJaxpr, Jaxpr))]
    return params.get("length", 1) * sum(map(count_flops, inner))
