# syntax=docker/dockerfile:1
# levelfield in a container, for CPUs or for NVIDIA GPUs:
#   docker build -t levelfield .
#   docker build -t levelfield:cuda --build-arg TORCH_BACKEND=cu128 .
#   mkdir -p runs && chmod a+rwx runs  # a folder that Docker makes is root's; the container writes as user 1000
#   docker run --rm -v "$PWD/runs:/home/levelfield/runs" levelfield study run quickstart
#   docker run --rm --gpus all -v "$PWD/data:/data:ro" -v "$PWD/runs:/home/levelfield/runs" levelfield:cuda \
#     study run cifar10-cpu --yes
# torch's CUDA builds bring CUDA's libraries with them: the host needs a driver and the NVIDIA container toolkit alone.
ARG PYTHON_VERSION=3.12

FROM python:${PYTHON_VERSION}-slim AS build
ARG TORCH_BACKEND=cpu
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends g++ make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Makefile pyproject.toml hatch_build.py requirements.txt requirements-report.txt ./
COPY README.md LICENSE CHANGELOG.md CITATION.cff ./
COPY src ./src
RUN make image PYTHON=python TORCH_BACKEND=${TORCH_BACKEND} PREFIX=/opt/levelfield

FROM python:${PYTHON_VERSION}-slim
# libgomp: torch's CPU builds for Arm look for the system's
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
  && useradd --create-home --uid 1000 levelfield
COPY --from=build /opt/levelfield /opt/levelfield
ENV PATH=/opt/levelfield/bin:$PATH LEVELFIELD_DATA=/data
USER 1000
WORKDIR /home/levelfield
ENTRYPOINT ["levelfield"]
CMD ["--help"]
