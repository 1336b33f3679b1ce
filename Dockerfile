# The agent as a container: a Python, the openssl program, and one file. `make image` builds dist/agent.pyz first.
#   docker build --build-arg BASE=<any image with Python 3.9 or newer> .
ARG BASE=python:3.13-alpine
FROM ${BASE}

RUN command -v openssl >/dev/null \
 || { command -v apk >/dev/null && apk add --no-cache openssl; } \
 || { apt-get update && apt-get install -y --no-install-recommends openssl && rm -rf /var/lib/apt/lists/*; }

# The standard library without docstrings, for -OO below: less memory, and images of Python come without any bytecode,
# so that each start would compile what it imports.
RUN cd "$(python3 -I -S -c 'import os; print(os.path.dirname(os.__file__))')" \
 && python3 -I -S -m compileall -q -l -o 2 . \
 && for package in collections concurrent ctypes email encodings html http importlib json logging re urllib; do \
      [ ! -d "$package" ] || python3 -I -S -m compileall -q -o 2 "$package" || exit 1; \
    done

COPY dist/agent.pyz /agent.pyz

ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="dockpal-agent" \
      org.opencontainers.image.description="Lets a DockPal Server manage one host's Docker, over HTTPS or a WebSocket that calls out" \
      org.opencontainers.image.source="https://github.com/sdldev/dockpal-agent" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      dockpal.agent="true"

# Direct mode listens here; edge mode needs no port.
EXPOSE 9273

# No VOLUME: an anonymous one would be left behind by every `docker rm`. Mount /opt/dockpal-agent to keep what is kept.
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s --retries=3 \
  CMD ["python3", "-I", "-S", "-OO", "/agent.pyz", "healthcheck"]

# -I -S: nothing of the image's site-packages is loaded, which is memory, and nothing of the environment but DOCKPAL_*.
ENTRYPOINT ["python3", "-I", "-S", "-OO", "/agent.pyz"]
