import type { PostgresServer } from '../test/support/index.ts';
import type { Offsite } from './offsite.ts';

/** The configuration a person would write, after `resurgo init` has made the keys. */
export const demoConfig = (
  recipient: string,
  server: PostgresServer,
  offsite: Offsite,
  service: string,
): string => `version: 1
encryption:
  recipients: [${recipient}]
  identity: { file: ./resurgo.key }
repositories:
  local:   { type: disk, path: ./backups }
  offsite: ${offsite.yaml}
targets:
  shop:                                # the whole cluster
    type: postgres
    engine: physical
    connection: ${server.url()}
    dataDir: ${server.dataDir}
    toolsDir: ${server.pgBin}
${server.runAs === undefined ? '' : `    runAs: ${server.runAs.user}\n`}    service: { stop: [${service}, stop], start: [${service}, start] }
    repositories: [local]
  shop-sql:                            # one database, by pg_dump
    type: postgres
    engine: logical
    connection: ${server.url('shop')}
    toolsDir: ${server.pgBin}
    jobs: 2
    repositories: [local, offsite]
`;
