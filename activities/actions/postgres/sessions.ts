import { z } from 'zod';
import { defineAction, type Action } from '../../../domain/action.ts';
import { isResurgoError, ResurgoError } from '../../../domain/errors.ts';
import { withClient, type ClientOptions, type PgClient } from '../../../providers/postgres/postgres-client.ts';
import type { ActivityDeps } from '../../deps.ts';
import { sourceServer } from '../../source-server.ts';
import { postgresSettings, targetSettings } from '../../target-settings.ts';
import { durationField, hostField, inputOf, textField } from '../input.ts';

/** On the server that is primary now. */
async function onTarget<T>(deps: ActivityDeps, target: string, signal: AbortSignal, work: (client: PgClient) => Promise<T>, options: Pick<ClientOptions, 'database' | 'theirs'> = {}): Promise<T> {
  const { connection } = await sourceServer(postgresSettings(targetSettings(deps, target)), 'resurgo plan');
  return withClient(connection, work, { signal, ...options });
}

const endSchema = z.strictObject({
  target: textField('Target of the configuration.'),
  database: textField('Only sessions in this database.').optional(),
  application: textField('Only sessions of this application_name.').optional(),
  idleFor: durationField('Only sessions that have done nothing for so long; those inside a transaction too.').optional(),
  host: hostField,
});
type EndInput = z.output<typeof endSchema>;

/** Ends the sessions of a pool that hangs, so that it connects anew. Superusers, replication and background processes are left alone. */
export const postgresEndSessions = (deps: ActivityDeps): Action =>
  defineAction<EndInput, Record<string, never>, { readonly ended: number }>({
    name: 'postgres.end-sessions',
    version: 1,
    description: 'Ends client sessions of a PostgreSQL server: all of a database, of an application, or only idle ones.',
    effect: 'converge',
    ...inputOf<EndInput>(endSchema),
    outputs: ['ended'],
    subject: ({ target, database }) => (database === undefined ? target : `${target}/${database}`),
    host: ({ host }) => host,
    check: ({ input, signal }) => onTarget(deps, input.target, signal, async (client) => {
      const { rows } = await client.query<{ n: string }>("select count(*) n from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()");
      return [`${rows[0]?.n ?? '?'} client sessions`];
    }),
    apply: ({ input, signal }) => onTarget(deps, input.target, signal, async (client) => {
      const { rows } = await client.query<{ ended: boolean }>(
        `select pg_terminate_backend(pid) ended from pg_stat_activity
          where backend_type = 'client backend' and pid <> pg_backend_pid()
            and ($1::text is null or datname = $1) and ($2::text is null or application_name = $2)
            and ($3::bigint is null or (state like 'idle%' and state_change < clock_timestamp() - make_interval(secs => $3::bigint / 1000.0)))
            and not coalesce((select rolsuper from pg_roles where oid = usesysid), false)`,
        [input.database ?? null, input.application ?? null, input.idleFor ?? null],
      );
      const ended = rows.filter((row) => row.ended).length;
      return { summary: `${String(ended)} sessions ended`, output: { ended } };
    }),
  });

const validateSchema = z.strictObject({
  target: textField('Target of the configuration.'),
  database: textField('Database; default the one of the connection.').optional(),
  queries: z.array(textField('one query')).min(1).max(50).default(['SELECT 1', 'SELECT now()']).meta({ kind: 'list of text', description: 'Each must answer; one that answers a single false, or no row, fails.' }),
  writes: z.boolean().default(false).meta({ description: 'Also prove that the server takes writes: a transaction id is assigned and rolled back.' }),
  timeout: durationField('How long one query may take.').default(10_000),
  host: hostField,
});
type ValidateInput = z.output<typeof validateSchema>;

export const postgresValidate = (deps: ActivityDeps): Action =>
  defineAction<ValidateInput, Record<string, never>, { readonly answered: number; readonly slowestMs: number }>({
    name: 'postgres.validate',
    version: 1,
    description: 'Asks a PostgreSQL server validation queries, in a read-only transaction, and if wanted proves that it takes writes.',
    effect: 'none',
    ...inputOf<ValidateInput>(validateSchema),
    outputs: ['answered', 'slowestMs'],
    subject: ({ target }) => target,
    host: ({ host }) => host,
    apply: ({ input, signal }) => onTarget(deps, input.target, signal, async (client) => {
      let slowestMs = 0;
      for (const query of input.queries) {
        const begun = performance.now();
        await client.query('begin read only');
        try {
          await client.query(`set local search_path to default; set local statement_timeout = ${String(Math.max(1, Math.round(input.timeout)))}`);
          const { rows } = await client.query<Record<string, unknown>>(query);
          const [first] = rows;
          const values = first === undefined ? [] : Object.values(first);
          if (first === undefined || (values.length === 1 && values[0] === false)) throw new ResurgoError('validationFailed', `${input.target}: ${query} answered ${first === undefined ? 'no row' : 'false'}`);
        } catch (error) {
          if (isResurgoError(error)) throw error;
          throw new ResurgoError('validationFailed', `${input.target}: ${query}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
        } finally {
          await client.query('rollback').catch(() => undefined);
        }
        slowestMs = Math.max(slowestMs, Math.round(performance.now() - begun));
      }
      if (input.writes) await provesWrites(client, input.target);
      return { summary: `${String(input.queries.length)} queries answered, the slowest in ${String(slowestMs)} ms${input.writes ? '; it takes writes' : ''}`, output: { answered: input.queries.length, slowestMs } };
    }, { theirs: true, ...(input.database === undefined ? {} : { database: input.database }) }),
  });

/** A standby or a read-only server cannot assign a transaction id. */
async function provesWrites(client: PgClient, target: string): Promise<void> {
  try {
    await client.query('begin read write');
    await client.query('select pg_current_xact_id()');
  } catch (error) {
    throw new ResurgoError('validationFailed', `${target} takes no writes: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  } finally {
    await client.query('rollback').catch(() => undefined);
  }
}
