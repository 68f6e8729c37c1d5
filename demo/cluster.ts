import type { BindServer } from '../test/support/bind.ts';
import { startBind } from '../test/support/bind.ts';
import { startCluster, type TestCluster } from '../test/support/cluster.ts';
import { giveAddress } from './address.ts';
import { ask } from './client.ts';
import type { Stage } from './stage.ts';

/** Where the members would be, if they were on machines of their own. */
export const addresses = { a: '127.0.0.1', b: '127.0.0.2' } as const;
export const record = 'db.shop.test';

export interface Orders {
  readonly cluster: TestCluster;
  /** Port at either address. */
  readonly port: number;
  /** Undefined: there is no BIND to be had, for this reason. */
  readonly names: BindServer | undefined;
  readonly namesMissing?: string;
  /** What clients find under the name now. */
  address(): Promise<string>;
}

/** A primary, a standby, and a name server that says where the primary is. */
export async function startOrders(stage: Stage): Promise<Orders> {
  const cluster = await startCluster({ ports: true });
  const [a, b] = [cluster.member('a'), cluster.member('b')];
  stage.keepsLog('orders-a.log', a.logFile);
  stage.keepsLog('orders-b.log', b.logFile);
  const line = await giveAddress(addresses.b, a.port, b.port);
  stage.onStop(() => line.close());
  let names: BindServer | undefined;
  let namesMissing: string | undefined;
  try {
    names = await startBind({ zone: 'shop.test', records: [`db 5 IN A ${addresses.a}`] });
  } catch (error) {
    namesMissing = (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '';
  }
  const server = names?.address;
  return {
    cluster, port: a.port, names, ...(namesMissing === undefined ? {} : { namesMissing }),
    // Without a name server the application is told by hand, as people do it.
    address: async () => (server === undefined ? ((await isPrimary(cluster, 'b')) ? addresses.b : addresses.a) : ask({ server, name: record })),
  };
}

export const isPrimary = (cluster: TestCluster, member: string): Promise<boolean> =>
  cluster.member(member).sql<{ standby: boolean }>('postgres', 'select pg_is_in_recovery() as standby').then((rows) => rows[0]?.standby === false, () => false);

/** What is added to resurgo.yaml; JSON is YAML. */
export function ordersConfig({ cluster, names }: Orders): { targets: string; rest: string } {
  const [a, b] = [cluster.member('a'), cluster.member('b')];
  const member = (name: string, server: typeof a): string => `      - { name: ${name}, connection: ${server.url('shop')}, dataDir: ${server.dataDir} }`;
  const steps = [
    '      - { id: fail-over, uses: postgres.failover, with: { target: orders } }',
    ...(names === undefined ? [] : [`      - { id: dns, uses: dns.switch, with: { name: ${record}, values: [${addresses.b}], ttl: 5 } }`]),
    '      - { id: verify, uses: postgres.validate, with: { target: orders, writes: true, queries: [select count(*) from t] } }',
  ];
  return {
    targets: `  orders:                              # a primary and its standby
    type: postgres
    engine: physical
    toolsDir: ${a.pgBin}
    repositories: [local]
    members:
${member('a', a)}
${member('b', b)}
`,
    rest: `monitors:
  - { name: orders-db, postgres: { connection: ${a.url('shop')} }, every: 500ms, timeout: 2s, failures: 3, target: orders, plan: fail-over-orders }
plans:
  fail-over-orders:
    steps:
${steps.join('\n')}
incidents: { cooldown: 1s }
${names === undefined ? '' : `dns:\n  internal: ${JSON.stringify(names.config())}\n`}`,
  };
}
