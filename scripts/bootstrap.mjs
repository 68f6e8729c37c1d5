#!/usr/bin/env node
// Makes everything a checkout needs available, below .tools/ where it is not installed: Node, npm packages, Temporal, PostgreSQL.
// Runs on Node 18 without any package. What was found is recorded in .tools/env.json, which others read.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withLock } from './tools/lock.mjs';
import { installModules, modulesAreCurrent } from './tools/modules.mjs';
import { fetchMoto, findMoto } from './tools/moto.mjs';
import { fetchNode, findNode } from './tools/node.mjs';
import * as pins from './tools/pins.mjs';
import { fetchPostgres, findPostgres } from './tools/postgres.mjs';
import { SetupError } from './tools/process.mjs';
import { fetchTemporal, findTemporal } from './tools/temporal.mjs';

const root = realpathSync(fileURLToPath(new URL('..', import.meta.url)));
const tools = join(root, '.tools');
const record = join(tools, 'env.json');

/** In the order of fetching. `keys` are the paths in env.json whose presence proves the tool is still there. */
const all = {
  node: {
    what: `Node.js ${pins.node.version} (52 MB)`,
    why: `runs the TypeScript sources; Node ${pins.minNode.join('.')} or later does`,
    remedy: 'install Node 24 from https://nodejs.org, or let npm reach its registry',
    find: findNode,
    fetch: fetchNode,
    paths: (env) => [env.node],
  },
  temporal: {
    what: `the Temporal CLI ${pins.temporal.version} (45 MB)`,
    why: 'its development server makes every run durable',
    remedy: 'install it (https://docs.temporal.io/cli), put `temporal` on PATH or set TEMPORAL_CLI_PATH',
    find: findTemporal,
    fetch: fetchTemporal,
    paths: (env) => [env.temporal],
  },
  postgres: {
    what: `PostgreSQL ${pins.postgresMajor} (50 MB)`,
    why: `demo and tests start real servers; ${pins.minPostgresMajor} or later is needed for incremental backups`,
    remedy:
      'install postgresql-18 and its contrib modules (https://www.postgresql.org/download/linux/), or set RESURGO_PG_BIN',
    find: findPostgres,
    fetch: fetchPostgres,
    paths: (env) => [env.pgBin && join(env.pgBin, 'postgres'), env.pgBin && join(env.pgBin, 'pg_basebackup')],
  },
  moto: {
    what: `moto ${pins.moto.version}, an S3 server (25 MB)`,
    why: 'the S3 repository is shown and tested against it; without it those parts are left out',
    remedy: 'make `python3 -m pip` work and reach PyPI',
    optional: true,
    find: findMoto,
    fetch: fetchMoto,
    paths: (env) => [env.moto?.python, env.moto && join(env.moto.path, 'resurgo.json')],
  },
};

const say = (line) => process.stderr.write(`setup: ${line}\n`);

/** Changes whenever what was recorded may no longer be what is wanted. */
const fingerprint = createHash('sha256')
  .update(JSON.stringify([1, root, pins, process.env.TEMPORAL_CLI_PATH ?? '', process.env.RESURGO_PG_BIN ?? '']))
  .digest('hex');

function readRecord() {
  try {
    const env = JSON.parse(readFileSync(record, 'utf8'));
    return env.fingerprint === fingerprint ? env : { fingerprint };
  } catch {
    return { fingerprint };
  }
}

const isThere = (name, env) => all[name].paths(env).every((path) => path && existsSync(path));

/** An optional tool that could not be had is not tried again at every start. */
const retryAfterMs = 3_600_000;
const gaveUp = (name, env) => Boolean(all[name].optional) && Date.now() - (env.missing?.[name]?.at ?? 0) < retryAfterMs;

function writeRecord(env) {
  const draft = `${record}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(env, null, 2)}\n`);
  renameSync(draft, record);
}

async function provide(name, env, context) {
  const tool = all[name];
  const started = Date.now();
  let found = await tool.find(context);
  if (!found) {
    say(`fetching ${tool.what} …`);
    found = await tool.fetch(context);
    say(`${tool.what} is there after ${((Date.now() - started) / 1000).toFixed(1)} s`);
  }
  Object.assign(env, found);
  if (env.missing) delete env.missing[name];
}

function explain(name, error) {
  const { what, why, remedy } = all[name];
  const reason = error instanceof SetupError ? error.message : (error.stack ?? String(error));
  return `${what} is not available: ${reason}\n  Why it is needed: ${why}.\n  How to get it: ${remedy}.`;
}

function discard(dir) {
  try {
    rmSync(dir, { recursive: true, force: true, maxRetries: 3, retryDelay: 100 });
  } catch {
    // The next setup tries again.
  }
}

async function setUp(wanted) {
  // What an interrupted setup left; the lock is ours. An npm that outlived it may still write there, so this setup has its own place.
  discard(join(tools, 'tmp'));
  const work = join(tools, 'tmp', `${process.pid}-${Date.now()}`);
  mkdirSync(work, { recursive: true });
  const context = { root, tools, temp: (name) => join(work, name) };
  const env = readRecord();
  const problems = [];
  const warnings = [];
  const cannot = (name, error) => {
    const text = explain(name, error);
    if (!all[name].optional) problems.push(text);
    else {
      warnings.push(text);
      env.missing = { ...env.missing, [name]: { at: Date.now(), reason: error.message } };
    }
  };
  const modules = async () => {
    if (modulesAreCurrent(root)) return;
    say('installing the npm packages …');
    const started = Date.now();
    await installModules(context);
    say(`the npm packages are there after ${((Date.now() - started) / 1000).toFixed(1)} s`);
  };
  const jobs = [
    modules().catch((error) => problems.push(error instanceof SetupError ? error.message : error.stack)),
    ...wanted
      .filter((name) => !isThere(name, env))
      .map((name) => provide(name, env, context).catch((error) => cannot(name, error))),
  ];
  await Promise.all(jobs);
  discard(join(tools, 'tmp'));
  for (const line of warnings) say(line);
  if (problems.length > 0) throw new SetupError(problems.join('\n'));
  writeRecord(env);
  return env;
}

/**
 * An optional tool that is absent is named in `missing` with the reason.
 * @param {('node' | 'temporal' | 'postgres' | 'moto')[]} wanted
 * @returns the content of .tools/env.json: node, nodeVersion, temporal, temporalVersion, pgBin, pgMajor, pgVersion, moto: { python, path }
 */
export async function bootstrap(wanted = ['node', 'temporal', 'postgres'], { retry = false } = {}) {
  const env = readRecord();
  const absent = wanted.filter((name) => !isThere(name, env));
  if (modulesAreCurrent(root) && absent.every((name) => !retry && gaveUp(name, env))) {
    for (const name of absent)
      say(
        `going on without ${all[name].what}: ${env.missing[name].reason.split('\n')[0]} (\`npm run setup\` tries again)`,
      );
    return env;
  }
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    say(
      `this machine is ${process.platform}/${process.arch}; programs can be fetched for Linux on x86-64 only, elsewhere they have to be installed`,
    );
  }
  const waiting = (pid) => say(`another setup of this checkout is running (process ${pid}); waiting for it …`);
  try {
    return await withLock(tools, waiting, () => setUp(wanted));
  } catch (error) {
    if (['EACCES', 'EROFS', 'EPERM'].includes(error.code)) {
      if (modulesAreCurrent(root) && absent.every((name) => all[name].optional)) return env;
      throw new SetupError(
        `${tools} cannot be written (${error.code}): run the setup once as the owner of the checkout, or clone it to a place of your own.`,
      );
    }
    if (error.code === 'ENOSPC') throw new SetupError(`No space is left below ${root}; the setup needs about 1.2 GB.`);
    throw error;
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const extras = process.argv.slice(2).filter((argument) => argument in all);
  try {
    const env = await bootstrap([...new Set(['node', 'temporal', 'postgres', ...extras])], { retry: true });
    process.stdout.write(`${JSON.stringify(env, null, 2)}\n`);
  } catch (error) {
    say(error instanceof SetupError ? error.message : error.stack);
    process.exitCode = 1;
  }
}
