/**
 * Where each chain of evidence ended when this host last wrote to it: `<state>/evidence/<repository id>/<kind>/<target>.json`. A chain whose end was
 * cut off looks whole by itself; by this it does not.
 */
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { writeFileAtomic } from '../providers/host/files.ts';
import type { EvidenceHead } from '../providers/evidence/index.ts';
import { knownRepository } from './known-repositories.ts';

interface Chain {
  readonly kind: string;
  readonly target: string;
}

async function pathOf(stateDir: string, repository: string, { kind, target }: Chain): Promise<string> {
  return join(stateDir, 'evidence', (await knownRepository(stateDir, repository)) ?? repository, kind, `${target}.json`);
}

export async function readHead(stateDir: string, repository: string, chain: Chain): Promise<EvidenceHead | undefined> {
  const text = await readFile(await pathOf(stateDir, repository, chain), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    const { sequence, sha256 } = JSON.parse(text) as EvidenceHead;
    return Number.isSafeInteger(sequence) && sequence > 0 && /^[0-9a-f]{64}$/.test(sha256) ? { sequence, sha256 } : undefined;
  } catch {
    return undefined; // written over by somebody else: this host remembers nothing then
  }
}

/** Never goes back: of two writers the later in the chain is kept. */
export async function rememberHead(stateDir: string, repository: string, chain: Chain, head: EvidenceHead): Promise<void> {
  const known = await readHead(stateDir, repository, chain);
  if (known !== undefined && known.sequence >= head.sequence) return;
  const path = await pathOf(stateDir, repository, chain);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeFileAtomic(path, `${JSON.stringify({ sequence: head.sequence, sha256: head.sha256 })}\n`);
}
