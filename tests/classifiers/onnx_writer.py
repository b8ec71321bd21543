"""A minimal ONNX file, encoded by hand (protobuf's wire format), so that no test needs the package onnx."""


def _number(field, value):
    return _varint(field << 3) + _varint(value)


def _bytes(field, value):
    value = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _tensor(name, shape):
    """A ValueInfoProto of floats; a side is a number or a name."""
    dims = b"".join(_bytes(1, _number(1, d) if isinstance(d, int) else _bytes(2, d)) for d in shape)
    return _bytes(1, name) + _bytes(2, _bytes(1, _number(1, 1) + _bytes(2, dims)))


def channel_means(path, shape):
    """Writes a network that gives each image's mean colour, [B, 3]; `shape` is that of its input."""
    axes = (2, 3) if shape[1] == 3 else (1, 2)
    over = _bytes(1, "axes") + b"".join(_number(8, axis) for axis in axes) + _number(20, 7)
    keep = _bytes(1, "keepdims") + _number(3, 0) + _number(20, 2)
    node = _bytes(1, "x") + _bytes(2, "y") + _bytes(4, "ReduceMean") + _bytes(5, over) + _bytes(5, keep)
    ends = _bytes(11, _tensor("x", shape)) + _bytes(12, _tensor("y", (shape[0], 3)))
    graph = _bytes(1, node) + _bytes(2, "means") + ends
    path.write_bytes(_number(1, 7) + _bytes(7, graph) + _bytes(8, _bytes(1, "") + _number(2, 13)))
