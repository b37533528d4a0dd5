# xds, extproc and holdfast in one image: no shell, no C library, nobody is root.
#
#   docker build --build-arg VERSION=1.2.3 -t holdfast:1.2.3 .
#   docker run --rm holdfast:1.2.3 holdfast version
#
# The programs come out the same, byte for byte, for the same tree, VERSION and
# target. For equal time stamps on the files as well, set SOURCE_DATE_EPOCH
# and let BuildKit rewrite them (--output type=image,rewrite-timestamp=true).

FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
WORKDIR /src
# The toolchain of the image and the modules of go.sum, or no build at all.
ENV CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS="-mod=readonly -trimpath -buildvcs=false"
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download && go mod verify
COPY api ./api
COPY cmd ./cmd
COPY envoy ./envoy
COPY pkg ./pkg
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    GOOS=$TARGETOS GOARCH=$TARGETARCH go build -ldflags "-s -w -buildid= -X main.release=$VERSION" -o /out/bin/ ./cmd/... \
    && mkdir -p /out/state

# Distroless publishes no versioned tags, so the digest is the version.
FROM gcr.io/distroless/static-debian12:nonroot@sha256:d093aa3e30dbadd3efe1310db061a14da60299baff8450a17fe0ccc514a16639
ARG VERSION=dev
LABEL org.opencontainers.image.title="Holdfast" \
      org.opencontainers.image.description="Control plane, MCP-aware external processor and command line around a stock Envoy" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/holdfast-mcp/holdfast" \
      org.opencontainers.image.version="$VERSION"
COPY LICENSE /usr/share/doc/holdfast/LICENSE
COPY --from=build --chmod=0755 /out/bin/ /usr/local/bin/
# A named volume that is mounted here for the first time takes over owner and mode.
COPY --from=build --chown=65532:65532 --chmod=0700 /out/state /var/lib/holdfast
USER 65532:65532
CMD ["holdfast", "--help"]
