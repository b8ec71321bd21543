"""A user's own code, imported by name in the tests."""

import flax.linen as nn


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


def small(outputs):
    return Small(outputs)


def redness(images):
    return images[..., 0].mean((1, 2))


def channels(images):
    return images.mean((1, 2))


NUMBER = 3
