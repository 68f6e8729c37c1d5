import { formatLsn, parseLsn } from '../../domain/lsn.ts';
import type { ReplicationSession } from '../postgres/replication-session.ts';

/** Microseconds from 1970 to 2000, where PostgreSQL's clock begins. */
const epochMicros = 946_684_800_000_000n;
const dataHeaderBytes = 25;

export interface WalStreamOptions {
  readonly session: ReplicationSession;
  readonly timeline: number;
  readonly start: bigint;
  /** WAL bytes in order, valid until it returns or its promise settles. */
  readonly onData: (lsn: bigint, bytes: Buffer) => Promise<void> | undefined;
  /** How far it is received, told to the server every few seconds. Stored positions go through the slot, not through here. */
  readonly received: () => bigint;
  /** Gives up when the server sends nothing, not even a sign of life, for so long. */
  readonly idleTimeoutMs: number;
}

/** Where the stream goes on when its timeline has ended. */
export interface NextTimeline {
  readonly timeline: number;
  readonly start: bigint;
}

/**
 * Streams WAL (`START_REPLICATION … PHYSICAL`, without a slot) until the timeline ends, the session is cut or `onData` throws.
 * Flush and apply positions are never reported: this is no standby that a commit may wait for, whatever `synchronous_standby_names` says.
 */
export async function streamWal(options: WalStreamOptions): Promise<NextTimeline | undefined> {
  const { session, onData } = options;
  let send: ((body: Buffer) => void) | undefined;
  let type = 0;
  let head = Buffer.alloc(0);
  let at = 0n;
  const reply = (): void => send?.(statusUpdate(options.received()));
  // Well below wal_sender_timeout (60 s), also while we hold the stream back.
  const timer = setInterval(reply, 5000);
  try {
    const rows = await session.command(`START_REPLICATION PHYSICAL ${formatLsn(options.start)} TIMELINE ${String(options.timeline)}`, {
      idleTimeoutMs: options.idleTimeoutMs,
      onCopyBoth: (channel) => {
        send = channel;
      },
      onCopyData: (piece, first) => {
        let content = piece;
        if (first) {
          type = piece[0] ?? 0;
          head = Buffer.alloc(0);
        }
        const needed = (type === 0x77 ? dataHeaderBytes : 18) - head.length;
        if (needed > 0) {
          head = Buffer.concat([head, content.subarray(0, needed)]);
          content = content.subarray(Math.min(needed, content.length));
          if (head.length === dataHeaderBytes && type === 0x77) at = head.readBigUInt64BE(1);
          if (type === 0x6b && head.length === 18 && head[17] === 1) reply();
        }
        if (type !== 0x77 || content.length === 0) return undefined;
        const lsn = at;
        at += BigInt(content.length);
        return onData(lsn, content);
      },
    });
    const [next] = rows;
    const position = next?.['next_tli_startpos'];
    return next?.['next_tli'] == null || position == null ? undefined : { timeline: Number(next['next_tli']), start: parseLsn(position) };
  } finally {
    clearInterval(timer);
  }
}

function statusUpdate(received: bigint): Buffer {
  const body = Buffer.alloc(34);
  body[0] = 0x72;
  body.writeBigUInt64BE(received, 1);
  body.writeBigUInt64BE(0n, 9);
  body.writeBigUInt64BE(0n, 17);
  body.writeBigInt64BE(BigInt(Date.now()) * 1000n - epochMicros, 25);
  // Asks for a sign of life: an idle server sends nothing else.
  body[33] = 1;
  return body;
}
