"""Reading and writing weights: safetensors, msgpack, PyTorch's zip files; shared by generators and classifiers."""
