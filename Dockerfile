# The service's image. `docker build .` makes it; docker-compose.yml also uses the target `setup`.
#
# The tag is pinned to a Python minor version and a Debian release. A fork that ships this image pins the
# digest as well (python:3.13-slim-trixie@sha256:…) and lets its update bot move it.

FROM python:3.13-slim-trixie AS venv
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements/production.txt /tmp/requirements.txt
# The packages go into an environment without pip: the service has no use for an installer.
RUN python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --require-hashes --only-binary :all: -r /tmp/requirements.txt


FROM venv AS product
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1
WORKDIR /srv/portcullis
# Everything that .dockerignore lets through, so that no app is named here and one can be deleted.
COPY . .
# The modes of the clone are not the image's: root owns every file, everybody reads, nobody else writes.
RUN rm -r deploy requirements && chmod -R u=rwX,go=rX .
# Settings of this one command. The keys are random and end with it; no address is ever connected to.
RUN random() { python -c 'import secrets; print(secrets.token_urlsafe(64))'; } \
    && SECRET_KEY="$(random)" ENCRYPTION_KEYS="build:$(random)" BLIND_INDEX_KEY="$(random)" \
    ALLOWED_HOSTS=build.invalid PUBLIC_URL=https://build.invalid \
    DATABASE_URL=postgresql://build@build.invalid/build VALKEY_URL=redis://build.invalid \
    EMAIL_URL=file:///tmp/mail \
    python manage.py collectstatic --noinput --verbosity 0
# Bytecode now, because the root is read-only later. It belongs to this source for ever: nothing to compare.
RUN python -m compileall -q --invalidation-mode unchecked-hash .


FROM python:3.13-slim-trixie AS runtime
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
RUN groupadd --gid 10001 portcullis \
    && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin portcullis
COPY --from=venv /opt/venv /opt/venv


# Generates the secrets and certificates of docker-compose.yml. Not part of a deployment.
FROM runtime AS setup
WORKDIR /opt/setup
COPY deploy deploy
CMD ["python", "-m", "deploy.compose"]


FROM runtime AS service
WORKDIR /srv/portcullis
COPY --from=product /srv/portcullis .
# By number, so that Kubernetes' runAsNonRoot can tell that it is not root.
USER 10001:10001
EXPOSE 8443
# The exec form: `docker stop` reaches granian itself, not a shell that does not pass the signal on.
CMD ["granian", "config.asgi:application", "--interface", "asginl", "--loop", "uvloop", "--no-ws", \
    "--http2-max-headers-size", "65536", \
    "--host", "0.0.0.0", "--port", "8443", "--workers", "2", "--workers-kill-timeout", "5", \
    "--ssl-certificate", "/run/tls/server.pem", "--ssl-keyfile", "/run/tls/server.key"]
