import { PhysicalContentCheck } from '../../providers/postgres/physical-content-check.ts';
import type { EngineCheck } from '../../providers/vault/verify.ts';

/**
 * The engine's own check of the plaintext read back. Physical: every file against PostgreSQL's backup_manifest, as pg_verifybackup does.
 * Logical: pg_restore --list and the COPY terminators were checked at the dump; here the streams' own digests and sizes suffice.
 */
export const contentCheck: EngineCheck = ({ index }) => (index.engine.engine === 'physical' ? new PhysicalContentCheck(index) : { write: () => undefined });
