# The daemon in a container: docs/containers.md
#
#   docker build -t ropg .
#   docker run --read-only -p 8580:8580 -v ropg:/var/lib/ropg -e AUTHENTIK_URL=... -e PROXY_ISSUER=... ropg

FROM docker.io/library/python:3.13-slim AS build
WORKDIR /src
COPY . .
# pip and the writer of the SBOM have an environment of their own, which the image does not get.
RUN python -m venv /build \
 && /build/bin/python -m pip install --no-cache-dir pip cyclonedx-bom==7.5.0 \
 && python -m venv --without-pip /opt/ropg \
 && /build/bin/python -m pip --python /opt/ropg/bin/python install --no-cache-dir '.[redis]'
# Twisted keeps a list of plugins, which it could not write as the user that the daemon runs as.
RUN /opt/ropg/bin/python -c "from twisted.plugin import getPlugins, IPlugin; list(getPlugins(IPlugin))" \
 && /build/bin/cyclonedx-py environment --output-reproducible --output-file /opt/ropg/share/ropg.cdx.json \
        /opt/ropg/bin/python

FROM docker.io/library/python:3.13-slim
LABEL org.opencontainers.image.title="ropg-twisted" \
      org.opencontainers.image.description="OAuth2 password grants, answered by Authentik's own login flow" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.source="https://github.com/ropg-twisted/ropg-twisted" \
      org.opencontainers.image.documentation="https://github.com/ropg-twisted/ropg-twisted/blob/main/docs/containers.md"
RUN groupadd --gid 8580 ropg \
 && useradd --uid 8580 --gid 8580 --no-create-home --home-dir /var/lib/ropg --shell /usr/sbin/nologin ropg \
 && install -d -m 0700 -o 8580 -g 8580 /var/lib/ropg
COPY --from=build /opt/ropg /opt/ropg
ENV PATH=/opt/ropg/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    ROPG_LISTEN=tcp:8580 \
    ROPG_STATE_DIR=/var/lib/ropg
USER 8580:8580
WORKDIR /var/lib/ropg
# The daemon writes nowhere else: the root file system can be read-only.
VOLUME /var/lib/ropg
EXPOSE 8580
# It asks port 8580 without TLS: with another ROPG_LISTEN, give another --health-cmd.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8580, timeout=4); c.request('GET', '/health'); exit(c.getresponse().status != 200)"]
ENTRYPOINT ["twistd", "-n", "--pidfile=", "ropg"]
