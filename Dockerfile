# docker build --build-arg EXTRA=cuda -t cpi_jax .        (EXTRA: cuda, or empty for CPUs)
# docker run --gpus all -v "$PWD/runs:/cpi_jax/runs" cpi_jax --config=configs/shapes.py --workdir=runs/shapes
FROM python:3.11-slim
ARG EXTRA=
WORKDIR /cpi_jax
COPY . .
RUN pip install --no-cache-dir --constraint constraints/3.11.txt "--editable=.${EXTRA:+[$EXTRA]}"
ENTRYPOINT ["python", "launch/explain.py"]
