"""Reading and writing weights, for generators and classifiers: safetensors, msgpack, orbax, PyTorch's state dicts."""
