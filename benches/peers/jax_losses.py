"""JAX's times for rows of `wgloss bench`, on the processor: run both in one session and compare medians.

    python benches/peers/jax_losses.py [runs]

Compiled by jit, forward and value_and_grad, in milliseconds: median (least, most). A gradient is written into fresh memory.
"""

import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 9
RANDOM = np.random.default_rng(0)


def normal(*shape):
    return jnp.asarray(RANDOM.standard_normal(shape, dtype=np.float32))


def cross_entropy(*shape):
    """Classes in the second dimension, as PyTorch has them."""
    t = jnp.asarray(RANDOM.integers(shape[1], size=(shape[0], *shape[2:])))

    def loss(x, t):
        picked = jnp.take_along_axis(jax.nn.log_softmax(x, axis=1), jnp.expand_dims(t, 1), axis=1)
        return -picked.mean()

    return f"cross_entropy {'x'.join(map(str, shape))}", loss, normal(*shape), t


def elements(name, loss, count):
    t = jnp.asarray(RANDOM.random(count, dtype=np.float32))
    return f"{name} {count}", lambda x, t: loss(x, t).mean(), normal(count), t


def bce_with_logits(x, t):
    return jnp.maximum(x, 0) - x * t + jnp.log1p(jnp.exp(-jnp.abs(x)))


def focal(x, t, gamma=2.0, alpha=0.25):
    p = jax.nn.sigmoid(x)
    p_t = p * t + (1 - p) * (1 - t)
    return (alpha * t + (1 - alpha) * (1 - t)) * bce_with_logits(x, t) * (1 - p_t) ** gamma


ROWS = [
    lambda: cross_entropy(1024, 32000),
    lambda: cross_entropy(8192, 1000),
    lambda: cross_entropy(3276800, 10),
    lambda: cross_entropy(8, 21, 512, 512),
    lambda: cross_entropy(2, 150, 256, 256),
    lambda: cross_entropy(8, 32_000, 128),
    lambda: elements("bce_with_logits", bce_with_logits, 33_554_432),
    lambda: elements("sigmoid_focal", focal, 33_554_432),
    lambda: elements("mse", lambda x, t: (x - t) ** 2, 33_554_432),
]


def timed(run):
    jax.block_until_ready(run())
    jax.block_until_ready(run())
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        jax.block_until_ready(run())
        times.append(1e3 * (time.perf_counter() - start))
    return f"{statistics.median(times):8.1f} ({min(times):.1f}, {max(times):.1f})"


print(f"jax {jax.__version__}, {jax.devices()[0].platform}, {RUNS} runs")
for make in ROWS:
    name, loss, x, t = make()
    forward, fused = jax.jit(loss), jax.jit(jax.value_and_grad(loss))
    print(f"{name:34} forward {timed(lambda: forward(x, t))}   forward+backward {timed(lambda: fused(x, t))}", flush=True)
