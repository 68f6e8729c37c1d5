import type { PhysicalFacts } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { BackupReader } from '../../domain/ports.ts';

/** @throws unsupported */
export const factsOf = (reader: BackupReader): PhysicalFacts => {
  const { engine } = reader.index;
  if (engine.engine !== 'physical')
    throw new ResurgoError(
      'unsupported',
      `Backup ${reader.manifest.name} is a ${engine.engine} one, which makes no data directory.`,
    );
  return engine;
};

/** Major version of the server that was backed up. */
export const majorOf = (reader: BackupReader): number => Number.parseInt(reader.manifest.versions.server, 10);

/**
 * The links belong to each other, oldest first.
 * @throws parentMissing, unsupported, bug
 */
export function assertChain(chain: readonly BackupReader[]): void {
  for (const [i, reader] of chain.entries()) {
    factsOf(reader);
    const { name, kind, parent, systemId } = reader.manifest;
    if (i === 0 && kind !== 'full')
      throw new ResurgoError('parentMissing', `${name} is ${kind}: what it builds on is not here.`);
    const previous = chain[i - 1]?.manifest;
    if (previous && parent !== previous.id)
      throw new ResurgoError('parentMissing', `${name} builds on ${parent ?? 'nothing'}, not on ${previous.name}.`);
    if (
      previous &&
      (systemId !== previous.systemId || majorOf(reader) !== Number.parseInt(previous.versions.server, 10))
    ) {
      throw new ResurgoError(
        'parentMissing',
        `${name} and ${previous.name} are of different database systems or major versions.`,
      );
    }
  }
  const mixed = chain.find(
    (reader, i) => i > 0 && factsOf(reader).dataChecksums && !factsOf(chain[i - 1] as BackupReader).dataChecksums,
  );
  if (mixed)
    throw new ResurgoError(
      'unsupported',
      `Page checksums were switched on before ${mixed.manifest.name}: the pages that older backups of its chain hold have none.`,
      { details: { hint: 'Restore an older backup of the chain, or a later full one.' } },
    );
  if (chain.length === 0) throw new ResurgoError('bug', 'A restore without a backup.');
}
