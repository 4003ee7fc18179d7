# NATS as a separate Railway service, with one user per part. Its variables are the passwords; mount a volume at /data.
ARG NATS=2.15.1
ARG NATS_DIGEST=

FROM nats:${NATS}-alpine${NATS_DIGEST}
COPY deploy/nats/nats.conf /etc/nats/nats.conf
COPY deploy/nats/nats-server /etc/greenroom/nats-server
ENTRYPOINT ["sh", "/etc/greenroom/nats-server"]
CMD ["-c", "/etc/nats/nats.conf"]
