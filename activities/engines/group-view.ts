/** One member of a group's backup, seen as a backup of its own. */
import type { BackupIndex, EngineFacts, GroupFacts, GroupMember, Manifest, StreamRecord } from '../../domain/backup.ts';
import type { BackupReader } from '../../domain/ports.ts';
import { ResurgoError } from '../../domain/errors.ts';

/** Streams under the member's prefix, without it. */
export const memberStream = (stream: StreamRecord, prefix: string): StreamRecord => ({ ...stream, name: stream.name.slice(prefix.length + 1) });

export function memberIndex(index: BackupIndex, { prefix, facts, engineManifest }: GroupMember): BackupIndex {
  return {
    ...index,
    engine: facts as EngineFacts,
    streams: index.streams.filter((stream) => stream.name.startsWith(`${prefix}.`)).map((stream) => memberStream(stream, prefix)),
    parts: index.parts.filter((part) => part.stream.startsWith(`${prefix}.`)).map((part) => ({ ...part, stream: part.stream.slice(prefix.length + 1) })),
    ...(engineManifest === undefined ? {} : { engineManifest }),
  };
}

/** A member that was taken whole within an incremental of the group is a full one. */
export function memberManifest(manifest: Manifest, member: Pick<GroupMember, 'name' | 'engine' | 'systemId' | 'wal' | 'serverVersion'>, bytes: number, whole: boolean): Manifest {
  const { wal: _, members: __, ...rest } = manifest;
  return { ...rest, ...(whole ? { kind: 'full' as const, parent: null, chain: [] } : {}), versions: { ...manifest.versions, server: member.serverVersion }, target: member.name, engine: member.engine, systemId: member.systemId, bytes: { ...manifest.bytes, source: bytes }, ...(member.wal === undefined ? {} : { wal: member.wal }) };
}

export function factsOfGroup(index: Pick<BackupIndex, 'engine' | 'backup'>): GroupFacts {
  if (index.engine.engine !== 'group') throw new ResurgoError('bug', `backup ${index.backup} is ${index.engine.engine}, not a group`);
  return index.engine;
}

/** @throws backupUnknown when the member is not in this backup */
export function memberOf(index: Pick<BackupIndex, 'engine' | 'backup'>, name: string): GroupMember {
  const found = factsOfGroup(index).members.find((member) => member.name === name);
  if (found?.facts === undefined) throw new ResurgoError('backupUnknown', `${name} is not in backup ${index.backup}${found?.error === undefined ? '' : `: it failed then (${found.error.message})`}`);
  return found;
}

/** Reads one member through the group's reader. */
export function memberReader(reader: BackupReader, name: string): BackupReader {
  const member = memberOf(reader.index, name);
  const full = (stream: string): string => `${member.prefix}.${stream}`;
  return {
    manifest: memberManifest(reader.manifest, member, member.bytes, member.chain.length === 0),
    index: memberIndex(reader.index, member),
    extract: (options) => reader.extract({ ...options, stream: full(options.stream) }),
    read: (stream, path, signal) => reader.read(full(stream), path, signal),
    stream: (stream, signal) => reader.stream(full(stream), signal),
  };
}
