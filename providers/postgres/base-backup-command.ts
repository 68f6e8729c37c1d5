import { quoteLiteral } from './quote.ts';

export interface BaseBackupOptions {
  readonly label: string;
  readonly checkpoint: 'fast' | 'spread';
  readonly maxRateKiB?: number;
  readonly incremental: boolean;
}

/**
 * The BASE_BACKUP command (syntax of PostgreSQL 15 and later). CRC32C, the server's default, is what the manifest carries: SHA256 costs
 * the walsender, which is one process, 0.7 s per GB, and tampering is the business of AES-GCM and the signature (docs/adr/0005-base-backup.md).
 * The tablespace map is a file, since a tar header holds link targets of 100 bytes only.
 */
export function baseBackupCommand(options: BaseBackupOptions): string {
  const words = [
    `LABEL ${quoteLiteral(label(options.label))}`,
    'PROGRESS true',
    `CHECKPOINT '${options.checkpoint}'`,
    'WAL true',
    // With the WAL in the backup there is nothing to wait for in the archive.
    'WAIT false',
    'TABLESPACE_MAP true',
    'VERIFY_CHECKSUMS true',
    `MANIFEST 'yes'`,
    `MANIFEST_CHECKSUMS 'CRC32C'`,
    ...(options.maxRateKiB === undefined ? [] : [`MAX_RATE ${maxRate(options.maxRateKiB)}`]),
    ...(options.incremental ? ['INCREMENTAL true'] : []),
  ];
  return `BASE_BACKUP (${words.join(', ')})`;
}

/** The server takes 32 KiB/s to 1 GiB/s; more is no limit worth the name. */
const maxRate = (kib: number): number => Math.min(1024 * 1024, Math.max(32, Math.floor(kib)));

/** The replication grammar knows no E'' strings, and MAXPGPATH bounds the label. */
const label = (text: string): string => text.replace(/[^\x20-\x7e]|[\\']/g, '_').slice(0, 200);
