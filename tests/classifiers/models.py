"""A user's own code, imported by name in the tests."""

import flax.linen as nn
from flax import nnx


class Small(nn.Module):
    """Batch norm and dropout, as they are in training."""

    outputs: int = 3

    @nn.compact
    def __call__(self, images, train):
        x = nn.BatchNorm(use_running_average=not train)(nn.Conv(4, (3, 3), strides=2)(images))
        x = nn.Dropout(0.5, deterministic=not train)(nn.relu(x))
        return nn.Dense(self.outputs)(x.mean((1, 2)))


class Flat(nn.Module):
    """Of one image size."""

    @nn.compact
    def __call__(self, images):
        return nn.Dense(2)(images.reshape(len(images), -1))


class Masked(nn.Module):
    """Of more than images."""

    def __call__(self, images, mask):
        return images


class Written(nn.Module):
    """As people write them: `returns` says what comes back, `argument` what says that it trains."""

    returns: str = "rows"
    training: bool = False  # of the class, not of __call__
    channels_first: bool = False

    @nn.compact
    def __call__(self, images, *, is_training=True, deterministic=False, use_running_average=False):
        assert images.shape[-1] == 3 and not is_training and deterministic and use_running_average
        images = images.transpose(0, 2, 3, 1) if self.channels_first else images
        x = nn.Conv(4, (3, 3))(images).mean((1, 2))
        x = nn.BatchNorm(use_running_average=not self.training)(x)
        x = nn.Dense(3)(x)
        return {
            "rows": lambda: x,
            "one": lambda: x[:, 0],
            "tuple": lambda: (x, x.sum(1)),
            "dict": lambda: {"logits": x, "features": images, "more": {"a": x}},
            "alone": lambda: {"logits": x},
            "softmax": lambda: nn.softmax(x),
            "decision": lambda: x.argmax(1),
            "map": lambda: images,
            "text": lambda: "cat",
        }[self.returns]()


class Dropping(nn.Module):
    """Dropout that nothing turns off."""

    @nn.compact
    def __call__(self, images):
        return nn.Dense(1)(nn.Dropout(0.5, deterministic=False)(images).mean((1, 2)))


class Grey(nn.Module):
    """Of one channel; fails on others by itself."""

    @nn.compact
    def __call__(self, images):
        if images.shape[-1] != 1:
            raise ValueError("one channel, please")
        return nn.Dense(1)(images.mean((1, 2)))


class Modern(nnx.Module):
    def __init__(self, rngs=None):
        pass


def small(outputs):
    return Small(outputs)


def redness(images):
    return images[..., 0].mean((1, 2))


def channels(images):
    return images.mean((1, 2))


NUMBER = 3
