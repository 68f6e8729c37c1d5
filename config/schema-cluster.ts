/** Keys of a cluster: how a member is fenced, how a failover is decided and where clients are sent, how replication is watched. */
import { z } from 'zod';
import { secret } from './leaf-keys.ts';
import { duration, flag, integer, list, mapping, name, oneOf, text } from './leaf.ts';

/** How it is made certain, and proved, that a member takes no writes any more. What is given is tried in the order of the keys. */
export const fence = mapping(
  {
    local: flag(
      "By the worker on the member's `host`: every process of its data directory is ended and a new start is blocked. Default: true where `host` and `dataDir` are known.",
    ).optional(),
    exec: list(
      text('One argument.'),
      'Program and arguments, run by any worker, that cut the member off for good (power, hypervisor, switch); ends with 0 only when that is proved, its last line is the stated proof. Gets RESURGO_TARGET, RESURGO_MEMBER and RESURGO_RUN.',
    ).optional(),
    timeout: duration('How long one way of fencing may take.').default(30_000),
    grace: duration(
      'How long a member that still runs may hand over its last WAL by a fast shutdown before its processes are killed.',
    ).default(1500),
  },
  'How the member is cut off before another one is promoted.',
);

export const dnsRecord = mapping(
  {
    server: name('Name of a server under `dns`.'),
    name: text('Name of the record, for example db.example.test.'),
    type: oneOf(['A', 'AAAA', 'CNAME'], 'Type of the record.').default('A'),
    ttl: duration('Time to live of the record.', { min: 1000 }).default(30_000),
    values: z
      .record(z.string(), text('Address or name.'))
      .meta({ kind: 'mapping of member to text', description: 'What the record says when that member is the primary.' }),
  },
  'A record that follows the primary.',
);

export const failover = mapping(
  {
    automatic: flag(
      'Whether the watch fails over by itself: so many questions in a row without an answer, fence, promote. What only a person may decide is left to a person.',
    ).default(false),
    probes: integer('So many questions in a row must fail before a primary is taken for dead.', 1, 100).default(3),
    every: duration('Between two of them.', { min: 50 }).default(500),
    timeout: duration('A server that gives no answer for this long has failed a question.', { min: 100 }).default(3000),
    dns: list(dnsRecord, 'Records that follow the primary.').optional(),
    hangTimeout: duration(
      'Automatic: a primary that gives no answer, but whose standbys are still connected to it, must have been silent to them for this long. A working one is heard at least every `wal_receiver_timeout` / 2.',
    ).default(35_000),
  },
  'How another member becomes the primary.',
);

export const dnsServer = mapping(
  {
    server: text('Authoritative server that takes updates (RFC 2136), as address or address:port.', {
      check: (value) => (/^(\[[0-9a-fA-F:.]+\]|[^\s:/]+)(:\d{1,5})?$/.test(value) ? undefined : 'is not an address or address:port'),
    }),
    zone: text('Zone that is updated, for example example.test.'),
    key: mapping(
      {
        name: text('Name of the key, as the server knows it.'),
        algorithm: oneOf(['hmac-sha256', 'hmac-sha384', 'hmac-sha512', 'hmac-sha1'], 'TSIG algorithm.').default('hmac-sha256'),
        secret: secret('The key, base64.', {
          check: (value) => (/^[A-Za-z0-9+/]+={0,2}$/.test(value.trim()) ? undefined : 'is not base64'),
        }),
      },
      'TSIG key (RFC 8945) the updates are signed with.',
    ).optional(),
    secondaries: list(text('Address or address:port.'), 'Further authoritative servers that must say the same before a switch counts.').optional(),
    timeout: duration('How long a server may take to show a change.').default(30_000),
  },
  'A DNS server whose records Resurgo may change.',
);
