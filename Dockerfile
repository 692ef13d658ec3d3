# Pitstop with PostgreSQL's tools of several majors. A restart of the container ends running jobs: they are marked interrupted.
FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY requirements-runtime.lock pyproject.toml README.md ./
COPY bot bot
COPY handlers handlers
COPY jobs jobs
# The stand-alone script, which runbooks carry.
COPY docs/decrypt.py docs/
RUN python -m venv /opt/pitstop \
 && /opt/pitstop/bin/pip install --no-cache-dir --require-hashes -r requirements-runtime.lock \
 && pip wheel --no-cache-dir --no-deps -w /wheels . \
 && /opt/pitstop/bin/pip install --no-cache-dir --no-deps /wheels/*.whl

FROM python:3.13-slim-bookworm
# The PostgreSQL project's own repository, set up by the script that Debian ships for it.
RUN apt-get update \
 && apt-get install -y --no-install-recommends postgresql-common ca-certificates gnupg tini util-linux \
 && mkdir -p /etc/postgresql-common && echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf \
 && /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y \
 && apt-get install -y --no-install-recommends postgresql-14 postgresql-15 postgresql-16 postgresql-17 postgresql-18 \
 && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 8432 --home-dir /var/lib/pitstop --create-home --shell /usr/sbin/nologin pitstop \
 && install -d -o pitstop -g pitstop -m 0700 /var/lib/pitstop /var/backups/pitstop
COPY --from=build /opt/pitstop /opt/pitstop
ENV PATH=/opt/pitstop/bin:$PATH
USER pitstop
WORKDIR /var/lib/pitstop
VOLUME ["/var/lib/pitstop", "/var/backups/pitstop"]
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["pitstop", "healthcheck"]
ENTRYPOINT ["tini", "--"]
CMD ["pitstop", "run"]
