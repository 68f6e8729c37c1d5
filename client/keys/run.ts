import { KeyRing } from '../../activities/key-ring.ts';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import { parseRecipient, recipientOf } from '../../providers/vault/identity-file.ts';
import { walTargets } from '../wal.ts';
import type { CliContext } from '../cli-context.ts';
import type { KeysAction } from '../commands/keys.ts';
import { editRecipients } from './config-recipients.ts';
import { addIdentity, identityPath, retireIdentities } from './identity.ts';
import { rewrapAll, type RewrapReport } from './rewrap-all.ts';

/** `resurgo keys …`. The configuration is the truth: it is changed first, then what is stored follows; stopped half-way, `keys rewrap` goes on. */
export async function runKeys(context: CliContext, action: KeysAction, given: string | undefined): Promise<number | undefined> {
  const { output, env } = context;
  let loaded = await context.loadConfig();
  const now = new Date().toISOString();
  const ring = new KeyRing(loaded);
  if (action === 'list') return listKeys(context, ring);
  // Before anything is changed: what cannot open the backups cannot wrap them anew.
  await ring.credentials();
  const notes: string[] = [];
  let identity: { file: string; recipient: string; earlier: string[] } | undefined;
  if (action === 'add') {
    const recipient = parseRecipient(given ?? '');
    await editRecipients(loaded, (list) => [...list, recipient], env);
  } else if (action === 'remove') {
    const recipient = parseRecipient(given ?? '');
    await assertCanRemove(ring, loaded.config.encryption.recipients ?? [], recipient);
    await editRecipients(loaded, (list) => list.filter((one) => one !== recipient), env);
    notes.push('Who had opened a backup before may have kept its data key: for a key that was stolen, take new backups and let the old ones go (docs/runbooks/compromised-key.md).');
  } else if (action === 'rotate') {
    const file = identityPath(loaded);
    identity = { file, ...(await addIdentity(file, now)) };
    const { recipient, earlier } = identity;
    await editRecipients(loaded, (list) => [...list.filter((one) => !earlier.includes(one)), recipient], env);
    notes.push(`Keep a copy of ${file} away from this host, now: new backups are for its new identity.`);
  }
  loaded = await context.loadConfig();
  const reports = await rewrapAll(loaded, { signal: context.signal, onProgress: (name, done, total) => { if (done % 100 === 0 || done === total) output.note(`${name}: ${String(done)} of ${String(total)}`); } });
  const complete = reports.every(({ status }) => status === 'done');
  let retired: string | undefined;
  if (identity !== undefined && complete) retired = await retireIdentities(identity.file, now);
  if (identity !== undefined && !complete) notes.push(`The old identity stays in ${identity.file} as well: not everything is wrapped anew yet. Run \`resurgo keys rewrap\` when it can be reached.`);
  const recipients = loaded.config.encryption.recipients ?? [];
  output.result({ action, recipients, repositories: reports, complete, ...(identity === undefined ? {} : { identity: identity.file, recipient: identity.recipient }), ...(retired === undefined ? {} : { retired }) }, () =>
    [...reports.map(describe), ...(retired === undefined ? [] : [`the old identity lies in ${retired} now`])].join('\n'),
  );
  if (action !== 'rewrap') for (const target of walTargets(loaded.config)) notes.push(`The WAL archive of ${target} takes a new data key with what it stores next; what it stored before stays readable with the data keys of then.`);
  for (const note of notes) output.warn(note);
  if (complete) return undefined;
  return reports.every(({ status }) => status === 'unreachable') ? 1 : 7;
}

/** The last recipient that this host's identity opens stays: else nobody here could wrap or restore again. */
async function assertCanRemove(ring: KeyRing, recipients: readonly string[], recipient: string): Promise<void> {
  if (!recipients.includes(recipient)) throw new ResurgoError('inputInvalid', `${recipient} is not among encryption.recipients: ${recipients.join(', ')}`, { details: { hint: '`resurgo keys list` shows them.' } });
  const left = recipients.filter((one) => one !== recipient);
  if (left.length === 0) throw new ResurgoError('inputInvalid', `${recipient} is the only recipient; without one nobody could restore`, { details: { hint: 'Add another first, or use `resurgo keys rotate`.' } });
  const { identities = [] } = await ring.credentials();
  const own = await Promise.all(identities.map((one) => recipientOf(one)));
  if (!own.some((one) => left.includes(one))) throw new ResurgoError('inputInvalid', `${recipient} is the only recipient whose identity is on this host; after that nothing could be restored or wrapped anew here`, { details: { hint: 'Set encryption.identity to one of the others first, or use `resurgo keys rotate`.' } });
}

async function listKeys({ output }: CliContext, ring: KeyRing): Promise<undefined> {
  const { recipients = [], passphrase } = await ring.audience();
  const own = await ring.credentials().then(
    async ({ identities = [] }) => Promise.all(identities.map((one) => recipientOf(one))),
    (error: unknown) => {
      if (!isResurgoError(error, 'keyMissing')) throw error;
      return [] as string[];
    },
  );
  const rows = recipients.map((recipient) => ({ recipient, identityHere: own.includes(recipient) }));
  output.result({ recipients: rows, passphrase: passphrase !== undefined }, () =>
    passphrase === undefined ? rows.map(({ recipient, identityHere }) => `${recipient}${identityHere ? '  (its identity is on this host)' : ''}`).join('\n') : 'one passphrase opens every backup',
  );
  return undefined;
}

function describe({ name, status, rewrapped, current, problems, locked }: RewrapReport): string {
  const counts = `${name}: ${String(rewrapped)} wrapped anew, ${String(current)} were current`;
  const lines = problems.slice(0, 10).map(({ id, message }) => `  ${id}: ${message}`);
  if (problems.length > 10) lines.push(`  and ${String(problems.length - 10)} more`);
  for (const file of locked.slice(0, 10)) lines.push(`  ${file} is locked by the store: who could open it still can until the lock ends`);
  return [`${counts}${status === 'done' ? '' : `, ${status}`}`, ...lines].join('\n');
}
