# The gateway: nginx, and the Python that renders its configuration from config/limits.json.
# Build from the repository's root: `make image`.
#
# Packages of Debian are not pinned, for the reason given in infrastructure/Dockerfile.
# hadolint global ignore=DL3008
ARG BASE_IMAGE=docker.io/library/debian:bookworm-slim

FROM ${BASE_IMAGE} AS python
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates \
    && apt-get clean && rm -rf /var/lib/apt/lists/*
ARG PIP_EXTRA_INDEX_URL
COPY config/requirements/gateway.txt config/requirements/constraints.txt /build/
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca_bundle,target=/run/build/ca.pem \
    python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check \
        --requirement /build/gateway.txt --constraint /build/constraints.txt \
    && site=/opt/venv/lib/python3.11/site-packages \
    && rm -rf "$site"/pip "$site"/pip-* "$site"/setuptools "$site"/setuptools-*

FROM ${BASE_IMAGE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 nginx-light tini \
    && apt-get clean && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin draft
COPY --from=python /opt/venv /opt/venv
WORKDIR /opt/draft
COPY pyproject.toml ./
COPY config ./config
COPY infrastructure ./infrastructure
RUN /opt/venv/bin/python -m compileall -q infrastructure
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BIND_ADDRESS=0.0.0.0 \
    TMPDIR=/tmp
USER 10001:10001
VOLUME /tmp
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-m", "infrastructure.healthcheck", "8000"]
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "infrastructure.gateway"]
