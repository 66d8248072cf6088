# Training on GPUs: the code, torch with CUDA, and make. AWS Batch runs infrastructure/job.sh in it.
# Build from the repository's root: `make image IMAGES=training`. Several GB: torch brings CUDA with it.
#
# Packages of Debian are not pinned, for the reason given in infrastructure/Dockerfile.
# hadolint global ignore=DL3008
ARG BASE_IMAGE=docker.io/library/debian:bookworm-slim

FROM ${BASE_IMAGE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates make git tini \
    && apt-get clean && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home draft
ARG PIP_EXTRA_INDEX_URL
COPY config/requirements /build/
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca_bundle,target=/run/build/ca.pem \
    python3 -m venv /opt/draft/.venv \
    && /opt/draft/.venv/bin/pip install --no-cache-dir --disable-pip-version-check \
        --requirement /build/train.txt --constraint /build/constraints.txt
WORKDIR /opt/draft
COPY Makefile pyproject.toml ./
COPY config ./config
COPY infrastructure ./infrastructure
COPY model ./model
COPY training ./training
# The environment is complete: make must not want to make it again.
RUN touch .venv/.installed && chown draft:draft /opt/draft
ENV PYTHONUNBUFFERED=1
USER 10001:10001
ENTRYPOINT ["tini", "--"]
CMD ["infrastructure/job.sh"]
