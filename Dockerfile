# The operator's image: one binary that is the operator and the worker of its Jobs.
#
#   docker build --tag YOUR-REGISTRY/elysia-operator:0.1.0 .
#
# BASE may be any image with glibc 2.36 or newer and libgcc; a distroless one for C programs is the smallest and has no
# shell. The default is one that every builder can fetch.
ARG RUST=rust:1.90-slim-bookworm
ARG BASE=debian:12-slim

FROM ${RUST} AS build
WORKDIR /source
COPY . .
RUN cargo build --release --locked --package elysia-operator --bin elysia-operator

FROM ${BASE}
# For stores and clusters behind TLS.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /source/target/release/elysia-operator /usr/bin/elysia-operator
# A number, because Kubernetes' `runAsNonRoot` believes no name.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/bin/elysia-operator"]
CMD ["operator"]
