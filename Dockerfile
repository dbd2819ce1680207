# The exporter on a slim Python image, as an unprivileged user. To build it:
# docker build --build-arg REVISION=$(git rev-parse HEAD) --tag binance-futures-exporter .
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /build
COPY tools/requirements-build.txt requirements.txt ./
# pip remains in the build stage: the environment that is copied to the final image has none.
RUN python3 -m venv tools \
 && python3 -m venv --without-pip /opt/exporter \
 && tools/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements-build.txt \
 && tools/bin/pip --python /opt/exporter/bin/python3 install --no-cache-dir --require-hashes --no-deps --only-binary :all: -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
ARG REVISION=unknown
# The separator is a tilde, because branch names may contain slashes but no tildes.
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
# The root file system may be read-only. A container's loopback address cannot be reached from outside, so listen on all.
ENV PATH="/opt/exporter/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    BINANCE_FUTURES_EXPORTER_WEB_LISTEN_ADDRESS=":10427"
USER 10001:10001
EXPOSE 10427
# No HEALTHCHECK: the request would depend on the web configuration, and Kubernetes uses its own probes.
ENTRYPOINT ["binance-futures-exporter"]
CMD ["run"]
