# The server, its command line and nothing else: docker build --tag serinus:local .

FROM python:3.11.15-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
RUN python -m venv /opt/serinus
# The libraries first: as long as the lock stays, so does this layer.
COPY requirements/production.lock requirements/
RUN /opt/serinus/bin/pip install --no-cache-dir --only-binary :all: --require-hashes \
    --requirement requirements/production.lock
COPY pyproject.toml README.md LICENSE ./
COPY src src
# What only the building needs stays behind.
RUN /opt/serinus/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
    && /opt/serinus/bin/pip uninstall --yes hatchling pathspec trove-classifiers pip setuptools

FROM python:3.11.15-slim-bookworm
# A volume that is mounted here for the first time takes over owner and mode. The number, because Kubernetes checks it.
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/serinus --shell /usr/sbin/nologin serinus \
    && install --directory --owner=serinus --group=serinus --mode=0700 /var/lib/serinus
COPY --from=build /opt/serinus /opt/serinus
ENV PATH=/opt/serinus/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SERINUS_HOME=/var/lib/serinus
USER 10001:10001
WORKDIR /var/lib/serinus
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=3); c.request('GET', '/health/live'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["canary"]
CMD ["--help"]
