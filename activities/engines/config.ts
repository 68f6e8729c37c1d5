import { readFile, rm } from 'node:fs/promises';
import type { ConfigFacts } from '../../domain/backup.ts';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import { LiteralSecret } from '../../config/secret.ts';
import { dumpFiles } from '../../providers/files/dump.ts';
import { runTool } from '../../providers/host/child.ts';
import { serverSettings } from '../../providers/postgres/server-settings.ts';
import { sourceServer } from '../source-server.ts';
import { stagingPath } from '../staging.ts';
import { postgresSettings, settingsOf, targetSettings } from '../target-settings.ts';
import type { DumpContext, EngineDefinition, EngineDump } from './engine.ts';
import { assertSource } from './files.ts';
import { ownPaths } from './own-places.ts';
import { configRestoreEngine } from './restore-config.ts';

/** Files of configuration, and what else is needed to rebuild a host: service definitions, database settings, Resurgo's own configuration and schedules. */
export const configEngine: EngineDefinition = {
  name: 'config',
  async prepare({ settings }) {
    assertSource(settings.name, settingsOf(settings, 'config').config.files);
    return { systemId: 'config', warnings: [] };
  },
  dump: dumpConfig,
  restore: configRestoreEngine,
};

interface Extra {
  /** Below `resurgo-bundle/` in a restore. */
  readonly file: string;
  readonly content: string;
}

async function dumpConfig(context: DumpContext): Promise<EngineDump> {
  const { deps, plan, writer, signal, report } = context;
  const { config } = settingsOf(context.settings, 'config');
  const staging = stagingPath(deps, plan.target, plan.backup);
  try {
    const tree = await dumpFiles({
      selection: { paths: config.files, exclude: config.exclude ?? [], include: [], never: ownPaths(deps.loaded, context.settings.config) },
      oneFileSystem: false, link: 0, writer, staging, signal, onProgress: report,
    });
    const warnings = [...tree.warnings];
    let failed = 0;
    const attempt = async (what: string, work: () => Promise<Extra[]>): Promise<Extra[]> => {
      try {
        return await work();
      } catch (error) {
        signal.throwIfAborted();
        if (!isResurgoError(error) || error.code === 'bug') throw error;
        failed++;
        warnings.push(`${what} is not in the backup: ${error.message}`);
        return [];
      }
    };
    const extras: Extra[] = [];
    for (const unit of config.services ?? []) extras.push(...(await attempt(`service ${unit}`, () => serviceDefinition(unit, signal))));
    for (const name of config.databases ?? []) {
      extras.push(...(await attempt(`the settings of database ${name}`, async () => {
        const { connection } = await sourceServer(postgresSettings(targetSettings(deps, name)));
        return [{ file: `databases/${name}.json`, content: json(await serverSettings(connection)) }];
      })));
    }
    extras.push(...(await attempt("Resurgo's configuration", () => ownConfiguration(context))));
    const { listSchedules } = deps;
    if (listSchedules !== undefined) extras.push(...(await attempt("Temporal's schedules", async () => [{ file: 'resurgo/schedules.json', content: json(await listSchedules()) }])));
    const kept: ConfigFacts['extras'][number][] = [];
    for (const [i, { file, content }] of extras.entries()) {
      const stream = `extra-${String(i)}`;
      const sink = writer.openStream(stream, 'blob');
      await sink.write(Buffer.from(content));
      await sink.end();
      kept.push({ file, stream });
    }
    const facts: ConfigFacts = { engine: 'config', tree: tree.facts, extras: kept };
    const problems = failed + tree.facts.unread + tree.facts.changing;
    return {
      facts,
      counts: { files: tree.facts.files + kept.length, configFiles: tree.facts.files, ...(problems === 0 ? {} : { problems }) },
      serverVersion: 'config',
      engineManifest: tree.listing,
      checks: tree.checks,
      warnings,
      check: (streams) => {
        for (const { stream } of kept) if (!streams.some(({ name }) => name === stream)) throw new ResurgoError('contentMismatch', `stream ${stream} was not sealed`);
      },
    };
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

async function serviceDefinition(unit: string, signal: AbortSignal): Promise<Extra[]> {
  const { stdout } = await runTool({ command: 'systemctl', args: ['cat', '--no-pager', '--', unit], signal, timeoutMs: 30_000 });
  return [{ file: `services/${unit.replaceAll('\\', '_')}.txt`, content: stdout }];
}

/** The file as it is, but for the values of secrets that stand in it; references to where they are stay. */
async function ownConfiguration({ deps }: DumpContext): Promise<Extra[]> {
  const { loaded } = deps;
  let text: string;
  try {
    text = await readFile(loaded.path, 'utf8');
  } catch (error) {
    throw new ResurgoError('sourceUnreachable', `${loaded.path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  for (const secret of literalsIn(loaded.config)) text = text.replaceAll(secret, 'REMOVED-FROM-BACKUP');
  return [{ file: 'resurgo/resurgo.yaml', content: text }];
}

/** Every secret written in the configuration itself, the longest first; of URLs only the passwords. */
function literalsIn(value: unknown): string[] {
  const found = new Set<string>();
  const visit = (each: unknown): void => {
    if (each instanceof LiteralSecret) {
      const text = each.reveal();
      const password = /^\w+:\/\/[^/@:]*:([^@]+)@/.exec(text)?.[1];
      const parameter = /[?&]password=([^&]+)/.exec(text)?.[1];
      if (!/^\w+:\/\//.test(text)) found.add(text);
      for (const part of [password, parameter]) if (part !== undefined) found.add(part);
    } else if (Array.isArray(each)) each.forEach(visit);
    else if (typeof each === 'object' && each !== null) Object.values(each).forEach(visit);
  };
  visit(value);
  return [...found].filter((text) => text.length > 0).sort((a, b) => b.length - a.length);
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 1)}\n`;
