# The daemon in a container:
#
#   docker build -t ropg .
#   docker run -p 8580:8580 -v ropg:/var/lib/ropg -e AUTHENTIK_URL=... -e PROXY_ISSUER=... ropg

FROM python:3.13-slim AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/ropg && /opt/ropg/bin/pip install --no-cache-dir .
# Twisted keeps a list of plugins, which it could not write as the user that the daemon runs as.
RUN /opt/ropg/bin/python -c "from twisted.plugin import getPlugins, IPlugin; list(getPlugins(IPlugin))"

FROM python:3.13-slim
COPY --from=build /opt/ropg /opt/ropg
RUN groupadd --gid 8580 ropg \
 && useradd --uid 8580 --gid 8580 --no-create-home --home-dir /var/lib/ropg --shell /usr/sbin/nologin ropg \
 && install -d -m 0700 -o 8580 -g 8580 /var/lib/ropg
ENV PATH=/opt/ropg/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    ROPG_LISTEN=tcp:8580 \
    ROPG_STATE_DIR=/var/lib/ropg
USER 8580:8580
WORKDIR /var/lib/ropg
VOLUME /var/lib/ropg
EXPOSE 8580
# It asks port 8580 without TLS: with another ROPG_LISTEN, give another --health-cmd.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8580, timeout=4); c.request('GET', '/health'); exit(c.getresponse().status != 200)"]
ENTRYPOINT ["twistd", "-n", "--pidfile=", "ropg"]
