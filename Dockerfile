# The exporter on a slim Python, as a user without rights: docker build --build-arg REVISION=$(git rev-parse HEAD) .
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /build
COPY tools/requirements-build.txt requirements.txt ./
# What installs stays behind: the environment that is carried over has no pip of its own.
RUN python3 -m venv tools \
 && python3 -m venv --without-pip /opt/exporter \
 && tools/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements-build.txt \
 && tools/bin/pip --python /opt/exporter/bin/python3 install --no-cache-dir --require-hashes --no-deps --only-binary :all: -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
ARG REVISION=unknown
# No name of a revision, branch or tag has a tilde in it.
RUN sed -i "s~^__revision__ = \"unknown\".*~__revision__ = \"${REVISION}\"~" exporter/__init__.py \
 && tools/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir wheels . \
 && tools/bin/pip --python /opt/exporter/bin/python3 install --no-cache-dir --no-deps wheels/*.whl

FROM ${BASE}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="binance-futures-exporter" \
      org.opencontainers.image.description="Prometheus exporter for Binance USDⓈ-M futures accounts" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/exporter /opt/exporter
# The root may be read-only. From outside of a container nobody reaches its loopback address.
ENV PATH="/opt/exporter/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    BINANCE_FUTURES_EXPORTER_WEB_LISTEN_ADDRESS=":10427"
USER 10001:10001
EXPOSE 10427
# No HEALTHCHECK: what to ask depends on the web configuration; Kubernetes asks by probes of its own.
ENTRYPOINT ["binance-futures-exporter"]
CMD ["run"]
