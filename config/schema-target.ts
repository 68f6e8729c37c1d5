import { z } from 'zod';
import { connection, secret } from './leaf-keys.ts';
import { failover, fence } from './schema-cluster.ts';
import { replication } from './schema-replication.ts';
import { duration, filePath, flag, integer, list, mapping, name, oneOf, size, text } from './leaf.ts';
import { commonTarget, service } from './schema-target-common.ts';

const userName = (description: string) =>
  text(description, {
    example: 'postgres',
    check: (value) => (/^[a-z_][a-z0-9_.-]*\$?$/i.test(value) ? undefined : 'is not a user name'),
  }).optional();

const dataDir = filePath('Data directory of the server on its host.', { absolute: true });

export const member = mapping(
  {
    name: name('Name of the member.'),
    host: name(
      "Worker host it runs on: the worker's `--host`; work bound to it goes to the queue `resurgo.host.<host>`.",
    ).optional(),
    connection: connection('URL of this server.'),
    password: secret("Password, when the URL has none; default the target's.").optional(),
    dataDir: dataDir.optional(),
    service: service.optional(),
    fence: fence.optional(),
    address: text('`host:port` by which the other members reach it; default that of its connection.', {
      check: (value) => (/^(\[[0-9a-fA-F:.]+\]|[^\s:/]+):\d{1,5}$/.test(value) ? undefined : 'is not host:port'),
    }).optional(),
    slot: text('Replication slot it uses on its primary; default `resurgo_<name>`.', {
      check: (value) => (/^[a-z0-9_]{1,63}$/.test(value) ? undefined : 'is not a slot name: a-z, 0-9 and _'),
    }).optional(),
    site: text('Where it stands; a label.').optional(),
  },
  'One server of a cluster.',
);

export const postgresTarget = mapping(
  {
    type: z.literal('postgres'),
    engine: oneOf(
      ['physical', 'logical'],
      '`physical`: the whole cluster by base backups, with incrementals from PostgreSQL 17 on; `logical`: one database by pg_dump.',
    ),
    connection: connection('URL of the server (or of the primary; further ones under `standbys`).').optional(),
    password: secret('Password, when the URL has none.').optional(),
    standbys: list(member, 'Streaming standbys of the server in `connection`.').optional(),
    members: list(
      member,
      'All servers of a cluster; which is primary is found out. In place of `connection` and `standbys`.',
    ).optional(),
    failover: failover.optional(),
    replication: replication.meta({ description: 'How its standbys are watched; default section `replication`.' }).optional(),
    wal: flag('Continuous WAL archiving, for restores to a point in time (physical).').optional(),
    walRequired: list(
      name('Name of a repository.'),
      'Repositories that must hold WAL before the server may remove it; default the first on disk, else the first. The others follow, and catch up by copy.',
    ).optional(),
    walFlush: duration('How often WAL that does not fill a segment yet is stored: what is lost with the server.', {
      min: 500,
    }).default(2000),
    dataDir: dataDir.optional(),
    toolsDir: filePath(
      "Directory of pg_dump, pg_restore, pg_controldata …; default: found by the server's major version.",
    ).optional(),
    jobs: integer(
      'Parallel connections of a logical dump or restore; default by the number of CPUs.',
      1,
      64,
    ).optional(),
    only: mapping(
      {
        schemas: list(
          text('Schema name as it is stored, unquoted.'),
          'Only these schemas, as stored, unquoted.',
        ).optional(),
        tables: list(
          text('`schema.table` as stored, unquoted.'),
          'Only these tables, `schema.table` as stored, unquoted.',
        ).optional(),
      },
      'Part of the database (logical).',
    ).optional(),
    checkpoint: oneOf(
      ['fast', 'spread'],
      'Checkpoint before a physical backup: at once, or spread over time to spare the disk.',
    ).default('fast'),
    maxRate: size('Upper limit of what is read from the server, per second.', {
      rate: true,
      min: 32 * 1024,
    }).optional(),
    backupFrom: oneOf(['primary', 'prefer-standby', 'standby'], 'Which server is read.').default('primary'),
    tablespaceMap: z
      .record(z.string(), filePath('Where it goes.', { absolute: true }))
      .meta({
        kind: 'mapping of path to path',
        description: 'Where tablespaces go in a restore: old directory → new directory (physical).',
      })
      .optional(),
    owner: userName(
      'User who owns restored data directories (physical); default the owner of `dataDir`, else `runAs`.',
    ),
    runAs: userName("User under whom PostgreSQL's programs run when the worker is root."),
    ...commonTarget,
  },
  'A PostgreSQL server or database.',
);
