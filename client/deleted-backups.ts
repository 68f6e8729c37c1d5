/** `resurgo backups deleted` and `backups undelete ID`: the time of grace after a removal. */
import { Stores } from '../activities/stores.ts';
import { formatBytes } from '../config/units.ts';
import type { LoadedConfig } from '../config/load.ts';
import { isResurgoError, ResurgoError } from '../domain/errors.ts';
import { listDeleted, undelete, type DeletedBackup } from '../providers/repository/deleted.ts';
import type { Output } from './output.ts';

interface Answer<T> {
  readonly repository: string;
  readonly value?: T;
  readonly error?: ResurgoError;
}

async function inEach<T>(loaded: LoadedConfig, work: (store: Awaited<ReturnType<Stores['open']>>) => Promise<T>): Promise<Answer<T>[]> {
  const stores = new Stores(loaded);
  try {
    const answers: Answer<T>[] = [];
    for (const repository of stores.names()) {
      try {
        answers.push({ repository, value: await work(await stores.open(repository)) });
      } catch (error) {
        if (!isResurgoError(error)) throw error;
        answers.push({ repository, error });
      }
    }
    return answers;
  } finally {
    await stores.close();
  }
}

export async function showDeleted(loaded: LoadedConfig, output: Output): Promise<number | undefined> {
  const answers = await inEach(loaded, (store) => listDeleted(store));
  const rows = answers.flatMap(({ repository, value = [] }) => value.map((one: DeletedBackup) => ({ repository, ...one })));
  if (output.json) output.result({ deleted: rows }, '');
  else if (rows.length === 0) output.print('nothing that retention removed is still there');
  else
    output.table(
      [{ title: 'started' }, { title: 'target' }, { title: 'kind' }, { title: 'id' }, { title: 'stored', right: true }, { title: 'repository' }, { title: 'can be brought back until' }],
      rows.map((one) => [one.startedAt.slice(0, 19).replace('T', ' '), one.target, one.kind, one.id, formatBytes(one.bytes), one.repository, one.until.slice(0, 16).replace('T', ' ')]),
    );
  for (const { repository, error } of answers) if (error !== undefined) output.warn(`repository ${repository}: ${error.message}`);
  return answers.every(({ error }) => error !== undefined) ? 1 : undefined;
}

/** @throws backupUnknown when no repository that answers has it among what was removed */
export async function undeleteBackup(loaded: LoadedConfig, output: Output, id: string): Promise<number | undefined> {
  const answers = await inEach(loaded, (store) => undelete(store, id));
  const done = answers.filter(({ value }) => value !== undefined);
  if (done.length === 0) throw answers.find(({ error }) => error !== undefined && error.code !== 'backupUnknown')?.error ?? new ResurgoError('backupUnknown', `no repository has a removed backup ${JSON.stringify(id)} that can be brought back`, { details: { hint: '`resurgo backups deleted` lists them; after their time of grace they are gone.' } });
  output.result({ id, repositories: done.map(({ repository, value }) => ({ name: repository, restored: value?.ids.map((each) => each.id) })) }, () =>
    done.map(({ repository, value }) => `${repository}: ${(value?.ids ?? []).map((each) => `${each.id} (${each.kind})`).join(', ')} ${(value?.ids.length ?? 0) === 1 ? 'is a backup' : 'are backups'} again`).join('\n'),
  );
  output.note('Retention decides anew at its next run: hold it (`resurgo backups hold ID`) if it is to stay.');
  const failed = answers.filter(({ error }) => error !== undefined && error.code !== 'backupUnknown');
  for (const { repository, error } of failed) output.warn(`repository ${repository}: ${error?.message ?? ''}`);
  return failed.length > 0 ? 7 : undefined;
}
