// Programs of Debian packages for tests and demo, below .tools/debian and nowhere else: downloaded by apt into a state of its own and unpacked
// with dpkg-deb, so that no root is needed, nothing is installed and no service is started.
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { withLock } from './lock.mjs';
import { SetupError, allOnPath, isExecutable, mustRun, run } from './process.mjs';

/** Program → its package and where it lies in it. */
const programs = {
  named: { package: 'bind9', path: 'usr/sbin/named' },
  'tsig-keygen': { package: 'bind9', path: 'usr/sbin/tsig-keygen' },
  rndc: { package: 'bind9', path: 'usr/sbin/rndc' },
  nsupdate: { package: 'bind9-dnsutils', path: 'usr/bin/nsupdate' },
  dig: { package: 'bind9-dnsutils', path: 'usr/bin/dig' },
  'redis-server': { package: 'redis-server', path: 'usr/bin/redis-server' },
  'prometheus-alertmanager': { package: 'prometheus-alertmanager', path: 'usr/bin/prometheus-alertmanager' },
  prometheus: { package: 'prometheus', path: 'usr/bin/prometheus' },
  age: { package: 'age', path: 'usr/bin/age' },
  zstd: { package: 'zstd', path: 'usr/bin/zstd' },
  jq: { package: 'jq', path: 'usr/bin/jq' },
  xxd: { package: 'xxd', path: 'usr/bin/xxd' },
  openssl: { package: 'openssl', path: 'usr/bin/openssl' },
  chromium: { package: 'chromium', path: 'usr/lib/chromium/chromium' },
};

const libraries = ['usr/lib/x86_64-linux-gnu', 'lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu/pulseaudio'];

/** apt with lists and cache of its own; what the system has installed it still knows. */
const apt = (dir) => [
  ...['-o', `Dir::State=${join(dir, 'state')}`, '-o', `Dir::Cache=${join(dir, 'cache')}`],
  ...['-o', 'Dir::State::status=/var/lib/dpkg/status', '-o', 'Debug::NoLocking=1', '-o', 'APT::Sandbox::User='],
];

async function download(dir, name) {
  for (const each of ['state/lists/partial', 'cache/archives/partial']) mkdirSync(join(dir, each), { recursive: true });
  const get = ['install', '--download-only', '--yes', '--no-install-recommends', '--reinstall', name];
  const first = await run('apt-get', [...apt(dir), ...get]);
  if (first.code === 0) return;
  await mustRun('Reading the package lists', 'apt-get', [...apt(dir), 'update']);
  await mustRun(`Downloading ${name}`, 'apt-get', [...apt(dir), ...get]);
}

async function unpack(dir, name, target) {
  const work = `${target}.${process.pid}`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  const archives = join(dir, 'cache/archives');
  rmSync(archives, { recursive: true, force: true });
  await download(dir, name);
  const files = readdirSync(archives).filter((file) => file.endsWith('.deb'));
  for (const file of files) await mustRun(`Unpacking ${file}`, 'dpkg-deb', ['-x', join(archives, file), work]);
  rmSync(archives, { recursive: true, force: true });
  renameSync(work, target);
}

/** A start script, so that the libraries that came along are found; it may be moved with its directory, and the process it becomes has its id. */
function wrap(target, program) {
  const file = join(target, 'start', program.path.split('/').pop());
  mkdirSync(join(target, 'start'), { recursive: true });
  const script = [
    '#!/bin/sh',
    'd=$(cd "$(dirname "$0")/.." && pwd -P)',
    `LD_LIBRARY_PATH="${libraries.map((each) => `$d/${each}`).join(':')}"; export LD_LIBRARY_PATH`,
    `exec "$d/${program.path}" "$@"`,
  ];
  writeFileSync(file, `${script.join('\n')}\n`, { mode: 0o755 });
  return file;
}

/**
 * Path of a program: installed, unpacked before, or fetched now.
 * @throws SetupError when it is not to be had, saying why
 */
export async function debianProgram(root, name) {
  const program = programs[name];
  if (!program) throw new SetupError(`${name} is not among ${Object.keys(programs).join(', ')}`);
  const system = ['/usr/sbin', '/usr/bin', '/usr/local/bin'].map((dir) => join(dir, name)).find(isExecutable);
  const installed = allOnPath(name)[0] ?? system;
  if (installed) return installed;
  const dir = join(root, '.tools', 'debian');
  const target = join(dir, program.package);
  const start = join(target, 'start', program.path.split('/').pop());
  if (isExecutable(start)) return start;
  if (!existsSync('/usr/bin/apt-get'))
    throw new SetupError(`${name} is not installed, and there is no apt-get to fetch it: install ${program.package}`);
  return withLock(
    dir,
    () => undefined,
    async () => {
      if (isExecutable(start)) return start;
      if (!existsSync(target)) await unpack(dir, program.package, target);
      if (!isExecutable(join(target, program.path))) {
        rmSync(target, { recursive: true, force: true });
        throw new SetupError(`the package ${program.package} has no ${program.path}`);
      }
      return wrap(target, program);
    },
  );
}
