import { statSync } from 'node:fs';
import { isResurgoError } from '../../domain/errors.ts';
import { LiteralSecret, resolveSecret, type SecretRef } from '../../config/secret.ts';
import { fieldName } from '../../config/yaml-source.ts';
import { Findings, type CheckScope, type Finding } from './finding.ts';

/** What the configuration says, and secrets that stand in it in plain words. */
export function checkConfig({ loaded, env }: CheckScope): Finding[] {
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
  for (const part of usedLater) for (const [where, secret] of references(config[part], [part])) {
    try {
      resolveSecret(secret, where, env);
    } catch (error) {
      if (!isResurgoError(error)) throw error;
      findings.warn(error.message, 'It must be there where `resurgo up`, `worker` and `gateway` are started.');
    }
  }
  if (config.retention === undefined)
    findings.note('no retention: backups are kept until `resurgo prune` is called', 'Add retention rules; see docs/guides/retention.md.');
  return findings.list;
}

/** Sections whose secrets no other check reads; a missing one would be found out when an alert comes. */
const usedLater = ['webhooks', 'notify', 'approvers', 'monitors', 'dns', 'deadman', 'telemetry'] as const;

/** Every `{ env: NAME }` and `{ file: PATH }` below a value, with its place. */
function references(value: unknown, path: readonly (string | number)[]): [string, SecretRef][] {
  if (value instanceof LiteralSecret || typeof value !== 'object' || value === null) return [];
  if (Array.isArray(value)) return value.flatMap((item: unknown, i) => references(item, [...path, i]));
  const entries = Object.entries(value);
  const [first] = entries;
  if (entries.length === 1 && (first?.[0] === 'env' || first?.[0] === 'file') && typeof first[1] === 'string') return [[fieldName(path), value as SecretRef]];
  return entries.flatMap(([key, item]) => references(item, [...path, key]));
}

/** Fields whose value is a secret written out. A connection without a password is none. */
function plainSecrets(value: unknown, path: readonly (string | number)[] = []): string[] {
  if (value instanceof LiteralSecret) return value.shown === value.reveal() ? [] : [fieldName(path)];
  if (Array.isArray(value)) return value.flatMap((item: unknown, i) => plainSecrets(item, [...path, i]));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => plainSecrets(item, [...path, key]));
}
