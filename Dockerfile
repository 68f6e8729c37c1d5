# Resurgo: worker, command line, all-in-one. Node runs the TypeScript sources directly.
FROM node:24-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev

FROM node:24-bookworm-slim
# The client programs of the newest PostgreSQL, from the PostgreSQL project's own packages: pg_dump of 18 reads older servers too.
RUN apt-get update \
  && apt-get install --yes --no-install-recommends ca-certificates postgresql-common \
  && /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y \
  && apt-get install --yes --no-install-recommends postgresql-client-18 \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY --from=packages /app/node_modules ./node_modules
COPY . .
# `up` needs the Temporal CLI; a worker does not.
RUN ln -s /app/bin/resurgo /usr/local/bin/resurgo \
  && install --directory --owner node --group node --mode 0700 /var/lib/resurgo
USER node
WORKDIR /var/lib/resurgo
VOLUME /var/lib/resurgo
ENTRYPOINT ["resurgo"]
CMD ["worker"]
