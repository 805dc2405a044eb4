# One image for every service and the miner agent; which one runs is the command (see docker-compose.yml).

FROM node:24-bookworm-slim AS dependencies
WORKDIR /app
# Only what decides the dependencies, so that a change of code does not install them again.
COPY package.json package-lock.json .npmrc ./
COPY libs/contracts/package.json libs/contracts/
COPY libs/chassis/package.json libs/chassis/
COPY libs/testing/package.json libs/testing/
COPY services/gateway/package.json services/gateway/
COPY services/jobs/package.json services/jobs/
COPY services/miners/package.json services/miners/
COPY services/market/package.json services/market/
COPY services/payments/package.json services/payments/
COPY services/governance/package.json services/governance/
COPY clients/miner/package.json clients/miner/
COPY clients/sdk/package.json clients/sdk/
COPY clients/cli/package.json clients/cli/
COPY clients/console/package.json clients/console/
# No install scripts: the native parts come as binaries inside their packages.
# Source maps and type declarations, a quarter of it all, are for people at a desk.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund && npm cache clean --force \
  && find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete

# The services and the console, built: what builds them, and the libraries the console is made of, stay in this stage.
FROM dependencies AS built
RUN npm ci --ignore-scripts --no-audit --no-fund && npm cache clean --force
COPY libs libs
COPY services services
COPY clients/sdk clients/sdk
COPY clients/console clients/console
COPY scripts/build.ts scripts/bundle.ts scripts/console.ts scripts/
COPY tsconfig.json ./
RUN node scripts/build.ts

FROM node:24-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
RUN (getent passwd node || useradd --create-home --uid 1000 node) && mkdir /data compiled && chown node:node /data compiled
COPY --from=dependencies /app/node_modules node_modules
COPY --from=dependencies /app/package.json ./
COPY libs libs
COPY services services
COPY clients clients
COPY --from=built /app/clients/console/dist clients/console/dist
COPY --from=built /app/dist dist
COPY scripts/migrate.ts scripts/
USER node
# Compiled code from here on: a fifth of the starting time less. Without settings each names what is missing and ends, but
# has loaded everything by then. Not in /tmp, which is empty memory where the image is read-only.
ENV NODE_COMPILE_CACHE=/app/compiled
# As scripts/supervisor.ts, which says why.
ENV NODE_OPTIONS=--max-semi-space-size=8 MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=4000000 MALLOC_MMAP_THRESHOLD_=4000000
RUN for main in dist/*.js; do node "$main" >/dev/null 2>&1 || true; done
# SQLite in WAL mode needs a real file system: a named volume, never a bind mount.
VOLUME /data
# With TLS the certificate names the service, not 127.0.0.1: it is not looked at. It ends by itself, before its time is up:
# Docker only stops to wait for one, and on a host that is too busy they would become more and more.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "setTimeout(process.exit,4000,1);require(process.env.TLS_CERT?'https':'http').get({host:'127.0.0.1',port:process.env.API_PORT||process.env.PORT,path:'/health',rejectUnauthorized:false},(r)=>process.exit(r.statusCode===200?0:1)).on('error',()=>process.exit(1))"]
CMD ["node", "dist/gateway.js"]
