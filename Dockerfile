# One recipe for each part of Greenroom: docker build --build-arg PART=gateway .
# PART is gateway, scheduler, agent-runner, billing or sandbox; each image holds only that part's dependencies.
ARG PYTHON=3.11
FROM python:${PYTHON}-slim-bookworm AS build
ARG PART
WORKDIR /app
RUN python -m venv /opt/greenroom
ENV PATH=/opt/greenroom/bin:$PATH
COPY requirements.lock pyproject.toml ./
COPY contracts contracts
COPY chassis chassis
COPY services services
COPY sandbox sandbox
COPY deploy/docker/install deploy/docker/install
RUN deploy/docker/install "${PART}"

FROM python:${PYTHON}-slim-bookworm
ARG PART
# Native libraries of WebRTC's audio path are inside the wheels; nothing comes from the distribution.
RUN useradd --create-home --uid 10001 greenroom && mkdir -p /data && chown greenroom /data
COPY --from=build /opt/greenroom /opt/greenroom
# A container is reached from outside of it: the gateway then asks for GREENROOM_API_KEYS, and does not start without.
ENV PATH=/opt/greenroom/bin:$PATH PYTHONUNBUFFERED=1 PART=${PART} \
    HOST=0.0.0.0 HEALTH_HOST=0.0.0.0 SANDBOX_HOST=0.0.0.0
USER 10001
WORKDIR /data
# exec, so that the part itself gets SIGTERM and drains; agent-runner's import name has an underscore, the sandbox no app.
CMD ["/bin/sh", "-c", "case \"$PART\" in sandbox) exec python -m sandbox ;; agent-runner) exec python -m agent_runner.app ;; *) exec python -m \"$PART.app\" ;; esac"]
