/**
 * Where each chain of evidence ended when this host last wrote to it: `<state>/evidence/<repository id>/<kind>/<target>.json`. A chain whose end was
 * cut off looks whole by itself; by this it does not.
 */
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { writeFileAtomic } from '../providers/host/files.ts';
import type { EvidenceHead } from '../providers/evidence/index.ts';
import type { EvidenceChain } from '../providers/evidence/layout.ts';
import { knownRepository } from './known-repositories.ts';

const rootOf = async (stateDir: string, repository: string): Promise<string> => join(stateDir, 'evidence', (await knownRepository(stateDir, repository)) ?? repository);

async function pathOf(stateDir: string, repository: string, { kind, target }: EvidenceChain): Promise<string> {
  return join(await rootOf(stateDir, repository), kind, `${target}.json`);
}

/** Chains this host has written to: one that is gone as a whole is missed by nothing else. */
export async function rememberedChains(stateDir: string, repository: string): Promise<EvidenceChain[]> {
  const root = await rootOf(stateDir, repository);
  const kinds = await readdir(root).catch(() => []);
  const found = await Promise.all(kinds.map(async (kind) => (await readdir(join(root, kind)).catch(() => [])).filter((file) => file.endsWith('.json')).map((file) => ({ kind: kind as EvidenceChain['kind'], target: file.slice(0, -'.json'.length) }))));
  return found.flat();
}

export async function readHead(stateDir: string, repository: string, chain: EvidenceChain): Promise<EvidenceHead | undefined> {
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
export async function rememberHead(stateDir: string, repository: string, chain: EvidenceChain, head: EvidenceHead): Promise<void> {
  const known = await readHead(stateDir, repository, chain);
  if (known !== undefined && known.sequence >= head.sequence) return;
  const path = await pathOf(stateDir, repository, chain);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeFileAtomic(path, `${JSON.stringify({ sequence: head.sequence, sha256: head.sha256 })}\n`);
}
