import { statSync } from 'node:fs';
import { LiteralSecret } from '../../config/secret.ts';
import { fieldName } from '../../config/yaml-source.ts';
import { Findings, type CheckScope, type Finding } from './finding.ts';

/** What the configuration says, and secrets that stand in it in plain words. */
export function checkConfig({ loaded }: CheckScope): Finding[] {
  const { config, source } = loaded;
  const findings = new Findings('config');
  findings.ok(
    `${loaded.path} is valid: targets ${Object.keys(config.targets).join(', ')}; repositories ${Object.keys(config.repositories).join(', ')}`,
  );
  const plain = plainSecrets(source);
  if (plain.length > 0) {
    const mode = statSync(loaded.path).mode & 0o777;
    const readable = (mode & 0o044) === 0 ? '' : `, which others may read (mode ${mode.toString(8).padStart(4, '0')})`;
    findings.warn(
      `${plain.join(', ')}: in plain text in the configuration${readable}`,
      `Give ${plain.length === 1 ? 'it' : 'them'} as { env: NAME } or { file: PATH }${readable === '' ? '' : `; at least chmod 600 ${loaded.path}`}.`,
    );
  }
  if (config.retention === undefined)
    findings.note('no retention: backups are kept until `resurgo prune` is called', 'Add retention rules; see docs/guides/retention.md.');
  return findings.list;
}

/** Fields whose value is a secret written out. A connection without a password is none. */
function plainSecrets(value: unknown, path: readonly (string | number)[] = []): string[] {
  if (value instanceof LiteralSecret) return value.shown === value.reveal() ? [] : [fieldName(path)];
  if (Array.isArray(value)) return value.flatMap((item: unknown, i) => plainSecrets(item, [...path, i]));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => plainSecrets(item, [...path, key]));
}
