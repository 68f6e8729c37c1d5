import { hostname } from 'node:os';
import { repositoriesFor } from '../../config/lookup.ts';
import { errors } from '../../domain/errors.ts';
import { formatBytes } from '../../config/units.ts';
import type { CheckScope, CheckStatus, Finding } from '../checks/finding.ts';
import { Findings } from '../checks/finding.ts';
import { checkArchive } from '../checks/archives.ts';
import { checkKeys } from '../checks/keys.ts';
import { checkConfig } from '../checks/plain-secrets.ts';
import { checkPlans } from '../checks/plans.ts';
import { checkRepository } from '../checks/repositories.ts';
import { checkSchedules } from '../checks/schedules.ts';
import { checkTarget } from '../checks/targets.ts';
import { checkTemporal } from '../checks/temporal.ts';
import type { CliContext } from '../cli-context.ts';
import type { CheckOptions } from './check.ts';

const styles = { ok: 'green', note: 'dim', warn: 'yellow', fail: 'red' } as const;
/** Servers and repositories asked at once. */
const atOnce = 8;

export async function runCheck(context: CliContext, options: CheckOptions): Promise<number> {
  const { output, env, signal } = context;
  const loaded = await context.loadConfig();
  const scope: CheckScope = { loaded, env, signal, host: hostname() };
  const all: Finding[] = [];
  const say = (findings: readonly Finding[]): void => {
    for (const finding of findings) {
      all.push(finding);
      if (output.json || (output.quiet && (finding.status === 'ok' || finding.status === 'note'))) continue;
      const subject = `${finding.area}${finding.subject === '' ? '' : ` ${finding.subject}`}`;
      output.line(finding.status.padEnd(6), styles[finding.status], `${subject}: ${finding.message}`);
      if (finding.hint !== undefined && finding.status !== 'ok') output.print(`      ${finding.hint}`);
    }
  };
  const targets = Object.keys(loaded.config.targets);

  say(checkConfig(scope));
  say(await checkKeys(scope));
  for (const name of targets) say(checkSchedules(scope, name));
  for (const findings of await checkPlans(scope, options.offline === true)) say(findings);
  if (options.offline !== true) {
    const free = new Map<string, number>();
    await inOrder(
      Object.keys(loaded.config.repositories),
      async (name) => checkRepository(scope, name),
      (name, checked) => {
        if (checked.freeBytes !== undefined) free.set(name, checked.freeBytes);
        say(checked.findings);
      },
    );
    const sizes = new Map<string, number>();
    await inOrder(
      targets,
      async (name) => checkTarget(scope, name),
      (name, checked) => {
        if (checked.sourceBytes !== undefined) sizes.set(name, checked.sourceBytes);
        say(checked.findings);
      },
    );
    for (const name of targets) say(await checkArchive(scope, name));
    for (const [name, bytes] of free) say(checkRoom(scope, name, bytes, sizes));
    say(await checkTemporal(scope));
  }
  signal.throwIfAborted();

  const count = (status: CheckStatus): number => all.filter((finding) => finding.status === status).length;
  const counts = { ok: count('ok'), note: count('note'), warn: count('warn'), fail: count('fail') };
  const status = counts.fail > 0 ? 'fail' : counts.warn > 0 ? 'warn' : 'ok';
  output.result(
    { schemaVersion: 1, status, counts, checks: all },
    `${counts.ok} ok, ${counts.warn} warnings, ${counts.fail} failed`,
  );
  if (counts.fail === 0) return 0;
  const failed = all.filter((finding) => finding.status === 'fail');
  return failed.every((finding) => finding.code !== undefined && errors[finding.code].exitCode === 2) ? 2 : 3;
}

/** Compares what is free with what one backup of everything that goes there may need; compression makes it less. */
function checkRoom(
  { loaded }: CheckScope,
  repository: string,
  free: number,
  sizes: ReadonlyMap<string, number>,
): Finding[] {
  const findings = new Findings('repository', repository);
  const bytes = [...sizes]
    .filter(([target]) => repositoriesFor(loaded.config, target).includes(repository))
    .reduce((sum, [, size]) => sum + size, 0);
  if (bytes > free) {
    findings.warn(
      `${formatBytes(free)} are free, what goes there has ${formatBytes(bytes)} uncompressed`,
      'Enlarge it, or see what a first backup takes.',
    );
  }
  return findings.list;
}

/** Works on several at once and tells the results in the order of the list, each as soon as it may be told. */
async function inOrder<T>(
  names: readonly string[],
  work: (name: string) => Promise<T>,
  tell: (name: string, result: T) => void,
): Promise<void> {
  const running: { name: string; result: Promise<T> }[] = [];
  const next = async (): Promise<void> => {
    const first = running.shift();
    if (first) tell(first.name, await first.result);
  };
  for (const name of names) {
    if (running.length >= atOnce) await next();
    const result = work(name);
    // Told in its turn; until then it is no unhandled rejection.
    result.catch(() => undefined);
    running.push({ name, result });
  }
  while (running.length > 0) await next();
}
