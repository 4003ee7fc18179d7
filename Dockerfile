# Greenroom in one image, the four services and NATS: docker build -t greenroom .
# One part alone, with that part's dependencies only: docker build --build-arg PART=gateway .
# PART is all, gateway, scheduler, agent-runner, billing or sandbox. deploy/docker/pin writes the digests of the base images.
ARG PART=all
ARG PYTHON=3.11
ARG PYTHON_DIGEST=
ARG NODE=24
ARG NODE_DIGEST=

FROM node:${NODE}-bookworm-slim${NODE_DIGEST} AS console
WORKDIR /console
COPY console ./
RUN npm ci --ignore-scripts --no-audit --no-fund && npm run build

FROM python:${PYTHON}-slim-bookworm${PYTHON_DIGEST} AS build
ARG PART
WORKDIR /app
RUN python -m venv /opt/greenroom
ENV PATH=/opt/greenroom/bin:$PATH
COPY requirements.lock pyproject.toml ./
COPY contracts contracts
COPY chassis chassis
COPY services services
COPY sandbox sandbox
COPY cli cli
COPY deploy/docker/install deploy/docker/install
RUN deploy/docker/install "${PART}"

FROM python:${PYTHON}-slim-bookworm${PYTHON_DIGEST} AS part
# Native libraries of WebRTC's audio path are inside the wheels; nothing comes from the distribution.
RUN useradd --create-home --uid 10001 greenroom && mkdir -p /data && chown greenroom /data
COPY --from=build /opt/greenroom /opt/greenroom
WORKDIR /data

FROM part AS part-scheduler
FROM part AS part-agent-runner
FROM part AS part-billing
FROM part AS part-sandbox
FROM part AS part-gateway
COPY --from=console /console/dist /opt/greenroom/console
ENV CONSOLE_DIR=/opt/greenroom/console
FROM part-gateway AS part-all
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os; from urllib.request import urlopen as get; get('http://127.0.0.1:' + os.environ.get('PORT', '8000') + '/health', timeout=4)"]

# hadolint ignore=DL3006
FROM part-${PART}
ARG PART
# A container must listen on all addresses. The gateway then needs GREENROOM_API_KEYS, and does not start without them.
ENV PATH=/opt/greenroom/bin:$PATH PYTHONUNBUFFERED=1 PART=${PART} \
    HOST=0.0.0.0 HEALTH_HOST=0.0.0.0 SANDBOX_HOST=0.0.0.0
USER 10001
# exec, so that the part itself gets SIGTERM and drains; agent-runner's import name has an underscore, the sandbox no app.
CMD ["/bin/sh", "-c", "case \"$PART\" in all) exec greenroom serve --state /data ;; sandbox) exec python -m sandbox ;; agent-runner) exec python -m agent_runner.app ;; *) exec python -m \"$PART.app\" ;; esac"]
