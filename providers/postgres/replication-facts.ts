/** What a primary knows of its standbys and of the slots it keeps for them. */
import type { SenderFacts, SlotFacts } from '../../domain/replication.ts';
import { withClient, type PostgresConnection } from './connection.ts';
import { mapPostgresError } from './postgres-error.ts';

const sql = `select
  coalesce((select json_agg(json_build_object('name', application_name, 'state', state, 'replayed', replay_lsn::text, 'sync', sync_state,
    'slot', (select slot_name from pg_replication_slots s where s.active_pid = r.pid))) from pg_stat_replication r), '[]'::json) as senders,
  coalesce((select json_agg(json_build_object('name', slot_name, 'active', active, 'status', wal_status,
    'retainedBytes', case when pg_is_in_recovery() then null else (pg_current_wal_flush_lsn() - restart_lsn)::float8 end)) from pg_replication_slots where slot_type = 'physical'), '[]'::json) as slots`;

/** @throws sourceUnreachable, sourceDenied */
export async function replicationFacts(connection: PostgresConnection, signal?: AbortSignal): Promise<{ senders: SenderFacts[]; slots: SlotFacts[] }> {
  return withClient(connection, async (client) => {
    try {
      const { rows: [row] } = await client.query<{ senders: SenderFacts[]; slots: SlotFacts[] }>(sql);
      return { senders: row?.senders ?? [], slots: row?.slots ?? [] };
    } catch (error) {
      throw mapPostgresError(error, 'asking for its standbys', connection, 'sourceUnreachable');
    }
  }, { signal });
}

/** Effect: the slot is gone, unless somebody streams through it. @returns whether there was one */
export async function dropIdleSlot(connection: PostgresConnection, slot: string, signal?: AbortSignal): Promise<boolean> {
  return withClient(connection, async (client) => {
    const { rowCount } = await client.query('select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1 and not active', [slot]);
    return (rowCount ?? 0) > 0;
  }, { signal });
}
