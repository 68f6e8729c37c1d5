/** Identifiers and names, made from values the caller supplies, so that workflows can use them too. */
const crockford = '0123456789abcdefghjkmnpqrstvwxyz';

/** A 12-character lower-case Crockford base-32 id from a UUID (60 of its random bits). */
export function idFromUuid(uuid: string): string {
  const hex = uuid.replaceAll('-', '');
  // Skip the version and variant digits: they are not random.
  const digits = hex.slice(0, 12) + hex.slice(13, 16) + hex.slice(17);
  let value = BigInt(`0x${digits.slice(0, 15)}`);
  let id = '';
  for (let i = 0; i < 12; i++) {
    id = (crockford[Number(value & 31n)] ?? '0') + id;
    value >>= 5n;
  }
  return id;
}

/** What a target or repository may be called: it becomes a path segment, a workflow id and a search attribute. */
export const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

/** Ids of the base backups that the WAL archive of a target starts by itself begin so. */
export const automaticBasePrefix = (target: string): string => `backup-${target}-wal-`;

/** Workflow ids that are locks: they exist once, and die with the run that holds them. */
export const lockIds = {
  operation: (target: string): string => `op/${target}`,
  wal: (target: string): string => `wal/${target}`,
  restore: (target: string): string => `restore/${target}`,
  plan: (plan: string, target?: string): string => `running/${plan}${target === undefined ? '' : `/${target}`}`,
  upkeep: (target: string): string => `upkeep/${target}`,
  /** Apart from the lock of restores: a drill must never stand in the way of a real recovery. */
  drill: (target: string): string => `drill/${target}`,
  /** Who is the primary of a cluster: failover, switchover. */
  failover: (target: string): string => `failover/${target}`,
  /** Building, rebuilding and bringing back members: one at a time. */
  standby: (target: string): string => `standby/${target}`,
} as const;
