import { ResurgoError } from '../domain/errors.ts';
import type { EvidenceDocument, RecordedEvidence } from '../domain/evidence.ts';
import { repositoriesFor } from '../config/lookup.ts';
import { parseDocument, writeEvidence, type WrittenEvidence } from '../providers/evidence/index.ts';
import type { ActivityDeps } from './deps.ts';
import { readHead, rememberHead } from './evidence-heads.ts';
import { toResurgoError } from './failure-mapping.ts';

export interface RecordEvidenceInput {
  readonly document: EvidenceDocument;
  /** Where to; default the target's repositories, or all of them for what is no target (a plan, a cluster, a service). */
  readonly repositories?: readonly string[];
}

export function evidenceActivities(deps: ActivityDeps) {
  return {
    /**
     * Signs a document and appends it to its chain in every repository. Effect: one signed document and its page per repository. Idempotency: the same
     * document is written once, so a repeated attempt is harmless. Failure: a repository that does not take it is told in the result; only when none did
     * it fails, with the error of the first, and is tried again. @throws inputInvalid, keyMissing
     */
    async recordEvidence(input: RecordEvidenceInput): Promise<RecordedEvidence> {
      return recordEvidence(deps, input);
    },
  };
}

/** The same for code that is no activity: `rescue` and the CLI. */
export async function recordEvidence(deps: Pick<ActivityDeps, 'loaded' | 'stores' | 'keys' | 'host'>, input: RecordEvidenceInput): Promise<RecordedEvidence> {
  const document = parseDocument(input.document);
  const { config, stateDir } = deps.loaded;
  const names = input.repositories ?? (Object.hasOwn(config.targets, document.target) ? repositoriesFor(config, document.target) : Object.keys(config.repositories));
  const hostKey = await deps.keys.hostKey();
  const outcomes = await Promise.all(
    names.map(async (name): Promise<{ readonly outcome: RecordedEvidence['repositories'][number]; readonly written?: WrittenEvidence; readonly error?: unknown }> => {
      try {
        const store = await deps.stores.open(name, { create: true });
        const written = await writeEvidence(store, { document, hostKey, recordedBy: deps.host, head: await readHead(stateDir, name, document) });
        // What is written is written; that this host will not remember its place makes no evidence less.
        await rememberHead(stateDir, name, document, written).catch(() => undefined);
        return { outcome: { name, status: 'recorded', sequence: written.sequence }, written };
      } catch (error) {
        const { code, message } = toResurgoError(error);
        return { outcome: { name, status: 'failed', error: { code, message } }, error };
      }
    }),
  );
  const written = outcomes.find((each) => each.written !== undefined)?.written;
  if (written === undefined) {
    const first = outcomes.find((each) => each.error !== undefined);
    throw first === undefined ? new ResurgoError('configInvalid', `there is no repository for evidence of ${document.kind} ${document.target}`) : toResurgoError(first.error);
  }
  return { id: document.id, kind: document.kind, target: document.target, digest: written.digest, key: written.key, page: written.page, repositories: outcomes.map((each) => each.outcome) };
}
