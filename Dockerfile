# syntax=docker/dockerfile:1
# The gateway, 17 MB on a slim Debian: docker build -t millgate .
FROM rust:1-bookworm AS build
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin millgate \
    && strip --strip-debug -o /millgate target/release/millgate

FROM debian:bookworm-slim
RUN useradd --system --no-create-home --shell /usr/sbin/nologin --uid 8089 millgate \
    && install -d -o millgate -m 0700 /run/millgate
# Without auth.keys: docker exec CONTAINER cat /run/millgate/admin-8080.key
ENV RUNTIME_DIRECTORY=/run/millgate
COPY --from=build /millgate /usr/local/bin/millgate
COPY config/millgate.toml /etc/millgate/millgate.toml
USER millgate
EXPOSE 8089 8080 9001
# SIGTERM drains; give it time: docker stop --time 60
STOPSIGNAL SIGTERM
# Lives it? Whether it is ready is for balancers to ask: a node that drains lives.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /healthz HTTP/1.0\r\n\r\n' >&3 && head -1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["/usr/local/bin/millgate"]
CMD ["serve", "--config", "/etc/millgate/millgate.toml"]
