FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

WORKDIR /opt/scim-server

# The lock first: its layer is rebuilt only when a dependency changes.
COPY requirements.lock ./
RUN pip install --compile --require-hashes -r requirements.lock

COPY . .
RUN pip install --compile --no-build-isolation --no-deps . \
    && useradd --system --uid 10001 --user-group --no-create-home --home-dir /data scim \
    && install --directory --owner=scim --group=scim --mode=0750 /data

USER scim
WORKDIR /data
VOLUME /data
ENV SCIM_SERVER_DATABASE_URL=sqlite:////data/scim-server.db
EXPOSE 8000

HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]

ENTRYPOINT ["scim-server"]
CMD ["serve", "--host", "0.0.0.0"]
