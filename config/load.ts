import { createHash } from 'node:crypto';
import path from 'node:path';
import { ResurgoError } from '../domain/errors.ts';
import { canonicalJson } from './canonical.ts';
import { crossCheck } from './cross-check.ts';
import { expandPresets } from './presets.ts';
import { explain } from './explain.ts';
import { withReferences } from './leaf-core.ts';
import { absolutePaths } from './paths.ts';
import { decodeUtf8, readTrustedFile } from './safe-file.ts';
import { resolveSecret } from './secret.ts';
import { configSchema } from './schema.ts';
import type { Config } from './schema.ts';
import { fieldName, maxProblems, parseYaml } from './yaml-source.ts';
import type { ConfigProblem } from './yaml-source.ts';

export interface LoadedConfig {
  readonly config: Config;
  /** Absolute path of the file. */
  readonly path: string;
  /** Its directory; relative paths in it start here. */
  readonly dir: string;
  /** `<dir>/.resurgo` */
  readonly stateDir: string;
  /** SHA-256 (hex) of everything it says, without secrets; the same wherever the file lies. */
  readonly hash: string;
  /** As parsed, before paths were made absolute: what hashes and snapshots are made of. */
  readonly source: Config;
  /** User id of the file's owner. */
  readonly owner: number;
}

const maxConfigBytes = 512 * 1024;

/**
 * Reads and checks a configuration file. Every problem is reported at once, as `FILE:LINE:COLUMN field: reason, remedy`;
 * `details.problems` has them as data.
 * @throws configInvalid, configUnsafe
 */
export function loadConfig(file: string, options: { env?: NodeJS.ProcessEnv } = {}): LoadedConfig {
  const absolute = path.resolve(file);
  const shown = shownPath(absolute);
  const dir = path.dirname(absolute);
  const { bytes, info } = readConfigFile(absolute, shown);
  const source = parseConfig(decodeUtf8(bytes, 'Configuration', shown), {
    shown,
    dir,
    env: options.env ?? process.env,
  });
  return {
    config: absolutePaths(source, dir),
    path: absolute,
    dir,
    stateDir: path.join(dir, '.resurgo'),
    hash: createHash('sha256').update(canonicalJson(source)).digest('hex'),
    source,
    owner: info.uid,
  };
}

function readConfigFile(absolute: string, shown: string) {
  try {
    return readTrustedFile(absolute, 'Configuration', maxConfigBytes);
  } catch (error) {
    if (error instanceof ResurgoError && (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') {
      throw new ResurgoError('configInvalid', `There is no configuration file ${shown}.`, {
        cause: error.cause,
        details: { hint: '`resurgo init` writes one; or name another with --config FILE.' },
      });
    }
    throw error;
  }
}

/** Parses the text of a configuration; paths stay as written. @throws configInvalid, configUnsafe with all problems */
export function parseConfig(text: string, options: { shown: string; dir: string; env: NodeJS.ProcessEnv }): Config {
  const yaml = parseYaml(text);
  const problems: ConfigProblem[] = [...yaml.problems];
  if (problems.length === 0 && (yaml.data === undefined || yaml.data === null)) {
    problems.push({
      line: 1,
      column: 1,
      field: '',
      message: 'is empty; `resurgo init` writes a commented one',
      code: 'configInvalid',
    });
  } else if (problems.length === 0) {
    const resolve = (ref: { env: string } | { file: string }): string =>
      resolveSecret('file' in ref ? { file: path.resolve(options.dir, ref.file) } : ref, 'Its value', options.env);
    const parsed = withReferences(resolve, () => configSchema.safeParse(yaml.data, { reportInput: false }));
    const found = [
      ...(parsed.error ? explain(parsed.error.issues.slice(0, maxProblems)) : []),
      ...crossCheck(yaml.data),
    ].slice(0, maxProblems);
    for (const { path: at, part, message, code } of found) {
      problems.push({ ...yaml.locate(at, part), field: fieldName(at), message, code: code ?? 'configInvalid' });
    }
    if (parsed.success && found.length === 0) return expandPresets(parsed.data);
  }
  throw problemsError(problems, options.shown);
}

function problemsError(found: readonly ConfigProblem[], shown: string): ResurgoError {
  const problems = [...found].sort((a, b) => a.line - b.line || a.column - b.column);
  const lines = problems.map(
    (p) =>
      `${shown}:${p.line}:${p.column} ${p.field === '' ? '' : `${p.field}: `}${p.message}${/[.?!]$/.test(p.message) ? '' : '.'}`,
  );
  const code = problems.every((p) => p.code === 'configUnsafe') ? 'configUnsafe' : 'configInvalid';
  const head = problems.length === 1 ? '' : `${shown} has ${problems.length} problems:\n`;
  return new ResurgoError(code, head + lines.join('\n'), {
    details: { problems, hint: 'docs/reference/config.md lists every key.' },
  });
}

/** Relative to the working directory when it lies below it. */
function shownPath(absolute: string): string {
  const relative = path.relative(process.cwd(), absolute);
  return relative.startsWith('..') || path.isAbsolute(relative) ? absolute : relative;
}
