# syntax=docker/dockerfile:1
# The gateway in 80 MB: docker build -t millgate .
FROM rust:1-bookworm AS build
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin millgate \
    && cp target/release/millgate /millgate

FROM debian:bookworm-slim
RUN useradd --system --no-create-home --shell /usr/sbin/nologin --uid 8089 millgate
COPY --from=build /millgate /usr/local/bin/millgate
COPY config/millgate.toml /etc/millgate/millgate.toml
USER millgate
EXPOSE 8089 8080 9001
# SIGTERM drains; give it time: docker stop --time 60
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/millgate"]
CMD ["serve", "--config", "/etc/millgate/millgate.toml"]
