import { ResurgoError } from '../../domain/errors.ts';
import { mapPostgresError } from './postgres-error.ts';
import type { PostgresConnection } from './connection.ts';

const full = 'Take a full backup; ';

/**
 * The server's refusals of an incremental backup, before any data came. Their words are those of PostgreSQL 17 and 18 in English; in
 * another language they fall under walSummaryMissing, with the server's words in the message.
 */
export function mapIncrementalError(error: unknown, connection: PostgresConnection): ResurgoError {
  const mapped = mapPostgresError(error, 'starting the incremental backup', connection);
  if (mapped.code !== 'dumpFailed' || mapped === error) return mapped;
  const text = mapped.message;
  const make = (code: 'sourceChanged' | 'noParent' | 'walSummaryMissing' | 'parentMissing', hint: string) =>
    new ResurgoError(code, text, { cause: error, details: { ...mapped.details, hint } });
  if (/system identifier/i.test(text)) return make('sourceChanged', `${full}the parent is of another database system.`);
  if (/timeline \d+.*not in this server's history|expected timeline/i.test(text)) {
    return make(
      'sourceChanged',
      `${full}this server left the parent's timeline (a failover or a point-in-time restore).`,
    );
  }
  if (/but this backup starts at/i.test(text)) {
    return make(
      'noParent',
      'The standby made no restartpoint since the parent backup; wait for one, run CHECKPOINT on the primary, or back up from the primary.',
    );
  }
  if (/could not parse backup manifest|manifest.*(checksum|invalid)|contains no required WAL ranges/i.test(text))
    return make('parentMissing', `${full}the parent's backup_manifest was not understood.`);
  if (/cannot be taken unless WAL summarization is enabled/i.test(text))
    return make('walSummaryMissing', `Set summarize_wal = on and reload; then take a full backup.`);
  if (/summar/i.test(text) || (error as { code?: unknown }).code === '55000') {
    return make(
      'walSummaryMissing',
      `${full}summarize_wal was off, or wal_summary_keep_time is shorter than the time since the parent.`,
    );
  }
  return mapped;
}
