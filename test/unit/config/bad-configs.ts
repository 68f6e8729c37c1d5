/** Configurations with something wrong, and what is said about it. Line 1 of the base is `version: 1`. */
export const recipient = 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p';

export const base = [
  'version: 1',
  'encryption:',
  `  recipients: [${recipient}]`,
  'repositories:',
  '  local: { type: disk, path: /backups }',
  'targets:',
  '  shop: { type: postgres, engine: physical, connection: { env: SHOP_URL } }',
  '',
] as const;

/** The base with lines (1-based) replaced or, beyond its end, added. */
export function variant(lines: Readonly<Record<number, string>>): string {
  const result: string[] = [...base];
  for (const [line, text] of Object.entries(lines)) result[Number(line) - 1] = text;
  return Array.from(result, (line: string | undefined) => line ?? '').join('\n');
}

export interface BadConfig {
  readonly lines: Readonly<Record<number, string>>;
  /** `line:column` of the problem. */
  readonly at: string;
  readonly field: string;
  readonly says: string;
}

const bad = (lines: Readonly<Record<number, string>>, at: string, field: string, says: string): BadConfig => ({
  lines,
  at,
  field,
  says,
});
const target = (more: string, engine = 'physical'): string =>
  `  shop: { type: postgres, engine: ${engine}, connection: { env: SHOP_URL }, ${more} }`;
const s3 = (more: string): string => `  local: { type: s3, bucket: dr, ${more} }`;

export const badConfigs: Readonly<Record<string, BadConfig>> = {
  // The file as a whole
  'no version': bad({ 1: '' }, '2:1', 'version', 'is missing; write version: 1'),
  'version from the future': bad({ 1: 'version: 2' }, '1:10', 'version', '2 is not a version this Resurgo knows'),
  'version in quotes': bad({ 1: "version: '1'" }, '1:10', 'version', 'write version: 1'),
  'no targets': bad({ 6: '', 7: '' }, '1:1', 'targets', 'is missing; it must be a mapping'),
  'empty targets': bad({ 7: '' }, '6:1', 'targets', 'is empty; it must be a mapping'),
  'no entries in targets': bad({ 6: 'targets: {}', 7: '' }, '6:1', 'targets', 'has no entries'),
  'targets as a list': bad({ 7: '  - { type: postgres }' }, '6:1', 'targets', 'it must be a mapping'),
  'unknown section': bad({ 8: 'target: {}' }, '8:1', 'target', '"target" is not a known key; did you mean "targets"?'),
  'unknown section, no guess': bad({ 8: 'zebra: {}' }, '8:1', 'zebra', '"zebra" is not a known key'),
  'section twice': bad({ 8: 'targets: {}' }, '8:1', '', 'this key is there twice'),
  'drill of an unknown target': bad({ 8: 'drills: [{ target: shup }]' }, '8:20', 'drills[0].target', 'did you mean "shop"'),
  'two drills of a target': bad({ 8: 'drills: [{ target: shop }, { target: shop }]' }, '8:38', 'drills[1].target', 'has a drill already'),
  'drill check of no kind': bad({ 8: 'drills: [{ target: shop, checks: [{ name: x }] }]' }, '8:35', 'drills[0].checks[0]', 'checks nothing'),
  'drill check of two kinds': bad({ 8: "drills: [{ target: shop, checks: [{ sql: 'select true', command: [x] }] }]" }, '8:35', 'drills[0].checks[0]', 'sql and command at once'),
  'drill query that writes': bad({ 8: "drills: [{ target: shop, checks: [{ sql: 'delete from x' }] }]" }, '8:42', 'drills[0].checks[0].sql', 'does not begin with SELECT'),
  'game day of an unknown plan': bad({ 8: 'gamedays: [{ plan: recover, target: shop, disaster: data-lost }]' }, '8:20', 'gamedays[0].plan', 'is no plan of this configuration'),
  'game day of an unknown target': bad({ 8: 'plans: { p: { steps: [{ id: a, uses: wait, with: { for: 1s } }] } }', 9: 'gamedays: [{ plan: p, target: shup, disaster: data-lost }]' }, '9:31', 'gamedays[0].target', 'did you mean "shop"'),
  'game day without its table': bad({ 8: 'plans: { p: { steps: [{ id: a, uses: wait, with: { for: 1s } }] } }', 9: 'gamedays: [{ plan: p, target: shop, disaster: table-dropped }]' }, '9:47', 'gamedays[0].disaster', 'needs a table'),
  'game day with a table too many': bad({ 8: 'plans: { p: { steps: [{ id: a, uses: wait, with: { for: 1s } }] } }', 9: 'gamedays: [{ plan: p, target: shop, disaster: data-lost, table: x }]' }, '9:58', 'gamedays[0].table', 'goes with table-dropped'),
  'game day that runs no step': bad({ 8: 'plans: { p: { steps: [{ id: a, uses: wait, with: { for: 1s } }] } }', 9: 'gamedays: [{ plan: p, target: shop, disaster: data-lost, run: [b] }]' }, '9:64', 'gamedays[0].run[0]', 'is no step of plan "p"'),
  'key of another check': bad({ 8: "drills: [{ target: shop, checks: [{ sql: 'select true', status: 200 }] }]" }, '8:57', 'drills[0].checks[0].status', 'goes with http only'),
  // Alerts and people
  'empty section': bad({ 8: 'notify:' }, '8:1', 'notify', 'is empty; it must be a list'),
  'channel of no kind': bad({ 8: 'notify: [{ name: x }]' }, '8:10', 'notify[0]', 'has none of slack, smtp, pagerduty, webhook'),
  'channel of two kinds': bad({ 8: 'notify: [{ slack: { env: A }, pagerduty: { routingKey: { env: B } } }]' }, '8:31', 'notify[0].pagerduty', 'stands beside slack'),
  'channel twice': bad({ 8: 'notify: [{ slack: { env: A } }, { slack: { env: B } }]' }, '8:33', 'notify[1]', 'there is already a channel "slack"'),
  'unknown channel': bad({ 8: 'notify: [{ slack: { env: A } }]\nescalation: [{ level: cto, after: 0m, notify: [slak] }]' }, '9:48', 'escalation[0].notify[0]', 'did you mean "slack"'),
  'webhook anybody may call': bad({ 8: 'webhooks: [{ name: am, format: alertmanager }]' }, '8:12', 'webhooks[0]', 'anybody could start a recovery'),
  'short token': bad({ 8: 'webhooks: [{ name: am, format: alertmanager, token: topsecret }]' }, '8:53', 'webhooks[0].token[0]', 'is shorter than 16 characters'),
  'sns without topics': bad({ 8: 'webhooks: [{ name: am, format: sns }]' }, '8:12', 'webhooks[0]', 'has no topics'),
  'generic without a map': bad({ 8: 'webhooks: [{ name: am, format: generic, token: { env: T } }]' }, '8:12', 'webhooks[0]', 'needs map'),
  'unknown plan': bad({ 8: 'webhooks: [{ name: am, format: alertmanager, token: { env: T }, rules: [{ plan: restrt }] }]' }, '8:81', 'webhooks[0].rules[0].plan', '"restrt" is no plan of this configuration'),
  'regular expression that takes for ever': bad({ 8: 'webhooks: [{ name: am, format: alertmanager, token: { env: T }, rules: [{ match: { a: /(x+)+/ } }] }]' }, '8:87', 'webhooks[0].rules[0].match.a', 'repetition inside a repetition'),
  'tab as indentation': bad({ 7: '\tshop: {}' }, '7:1', '', 'use spaces'),
  'two documents': bad({ 8: '---\nversion: 1' }, '8:1', '', 'one document'),
  'unclosed bracket': bad({ 7: '  shop: { type: postgres' }, '8:1', '', 'is not valid YAML'),
  'missing anchor': bad({ 7: '  shop: *nothing' }, '7:9', '', 'an alias to an anchor that is not there'),
  'unknown tag': bad({ 7: '  shop: !!js/function "x"' }, '7:9', '', 'is not valid YAML'),
  'mapping as a key': bad({ 8: '? { a: b }\n: c' }, '8:3', '', 'is not valid YAML'),
  // Encryption
  'no recipients': bad({ 3: '  identity: { file: ./k }' }, '2:1', 'encryption', 'neither recipients nor a passphrase'),
  'recipient with a changed character': bad(
    { 3: `  recipients: [${recipient.replace('7h', '7q')}]` },
    '3:16',
    'encryption.recipients[0]',
    'its checksum does not fit',
  ),
  'recipient cut off': bad(
    { 3: `  recipients: [${recipient.slice(0, -3)}]` },
    '3:16',
    'encryption.recipients[0]',
    'its checksum does not fit',
  ),
  'identity as recipient': bad(
    { 3: '  recipients: [AGE-SECRET-KEY-1QQQ]' },
    '3:16',
    'encryption.recipients[0]',
    'the secret half',
  ),
  'ssh key as recipient': bad(
    { 3: '  recipients: [ssh-ed25519 AAAA]' },
    '3:16',
    'encryption.recipients[0]',
    'begins with age1',
  ),
  'empty recipients': bad({ 3: '  recipients: []' }, '3:3', 'encryption.recipients', 'is an empty list'),
  'recipients as text': bad({ 3: `  recipients: ${recipient}` }, '3:15', 'encryption.recipients', 'it must be a list'),
  'identity written out': bad(
    { 4: '  identity: AGE-SECRET-KEY-1QQQ\nrepositories:' },
    '4:13',
    'encryption.identity',
    'holds the key itself',
  ),
  'passphrase beside recipients': bad(
    { 4: '  passphrase: { env: P }\nrepositories:' },
    '4:3',
    'encryption.passphrase',
    'not both',
  ),
  'short passphrase': bad({ 3: '  passphrase: hunter2' }, '3:15', 'encryption.passphrase', 'shorter than 12'),
  'misspelt key': bad({ 4: '  idenity: ./k\nrepositories:' }, '4:3', 'encryption.idenity', 'did you mean "identity"?'),
  'trusted host that is none': bad(
    { 4: '  trustedHosts: [abc]\nrepositories:' },
    '4:18',
    'encryption.trustedHosts[0]',
    'is not an ed25519 public key',
  ),
  // Repositories
  'repository without type': bad(
    { 5: '  local: { path: /backups }' },
    '5:3',
    'repositories.local.type',
    'use one of: disk, s3',
  ),
  'repository of unknown type': bad(
    { 5: '  local: { type: ftp, path: /b }' },
    '5:18',
    'repositories.local.type',
    'use one of: disk, s3',
  ),
  'repository as text': bad({ 5: '  local: /backups' }, '5:3', 'repositories.local', 'must be a mapping'),
  'repository with a bad name': bad(
    { 5: '  ../x: { type: disk, path: /b }' },
    '5:3',
    'repositories["../x"]',
    'is not a name',
  ),
  'target with a name the repository uses': bad(
    { 7: '  keys: { type: postgres, engine: physical, connection: { env: U } }' },
    '7:3',
    'targets.keys',
    'is a name Resurgo uses itself',
  ),
  'repository with a name runs use': bad(
    { 5: '  spool: { type: disk, path: /b }' },
    '5:3',
    'repositories.spool',
    'is a name Resurgo uses itself',
  ),
  'repository named __proto__': bad(
    { 5: '  __proto__: { type: disk, path: /b }' },
    '5:3',
    'repositories.__proto__',
    'is not a name',
  ),
  'disk without path': bad({ 5: '  local: { type: disk }' }, '5:3', 'repositories.local.path', 'is missing'),
  'path with ~': bad(
    { 5: '  local: { type: disk, path: ~/backups }' },
    '5:30',
    'repositories.local.path',
    'begins with ~',
  ),
  'path that is a number': bad(
    { 5: '  local: { type: disk, path: 7 }' },
    '5:30',
    'repositories.local.path',
    '7 is a number, not text; put it in quotes',
  ),
  'empty path': bad({ 5: '  local: { type: disk, path: }' }, '5:24', 'repositories.local.path', 'is empty'),
  'key of the other type': bad(
    { 5: '  local: { type: disk, path: /b, bucket: x }' },
    '5:34',
    'repositories.local.bucket',
    '"bucket" is not a known key',
  ),
  'rate without unit': bad(
    { 5: '  local: { type: disk, path: /b, maxRate: 50 }' },
    '5:43',
    'repositories.local.maxRate',
    '50 has no unit',
  ),
  'rate with a wrong unit': bad(
    { 5: '  local: { type: disk, path: /b, maxRate: 50Mb }' },
    '5:43',
    'repositories.local.maxRate',
    '"50Mb" is not a size',
  ),
  'the same place twice': bad(
    { 5: '  local: { type: disk, path: /backups }\n  again: { type: disk, path: /backups/x/.. }' },
    '6:3',
    'repositories.again',
    'same place as repository "local"',
  ),
  'one place inside another': bad(
    { 5: '  local: { type: disk, path: /backups }\n  again: { type: disk, path: /backups/inner }' },
    '6:3',
    'repositories.again',
    'one inside the other',
  ),
  's3 without bucket': bad({ 5: '  local: { type: s3 }' }, '5:3', 'repositories.local.bucket', 'is missing'),
  's3 with half a key': bad(
    { 5: s3('accessKeyId: { env: K }') },
    '5:3',
    'repositories.local',
    'accessKeyId without secretAccessKey',
  ),
  's3 token alone': bad(
    { 5: s3('sessionToken: { env: K }') },
    '5:34',
    'repositories.local.sessionToken',
    'needs accessKeyId',
  ),
  's3 endpoint without scheme': bad(
    { 5: s3('endpoint: 127.0.0.1:9000') },
    '5:44',
    'repositories.local.endpoint',
    'is not an http',
  ),
  's3 endpoint with login': bad(
    { 5: s3('endpoint: "http://key:topsecret@minio"') },
    '5:44',
    'repositories.local.endpoint',
    'carries a login',
  ),
  's3 prefix from the root': bad({ 5: s3('prefix: /x') }, '5:42', 'repositories.local.prefix', 'relative path'),
  's3 prefix with ..': bad({ 5: s3('prefix: a/../b') }, '5:42', 'repositories.local.prefix', 'relative path'),
  's3 unknown encryption': bad({ 5: s3('sse: aes') }, '5:39', 'repositories.local.sse', 'is none of AES256, aws:kms'),
  's3 kms key without kms': bad(
    { 5: s3('sseKmsKeyId: k') },
    '5:34',
    'repositories.local.sseKmsKeyId',
    'needs sse: aws:kms',
  ),
  's3 threshold too small': bad(
    { 5: s3('multipartThreshold: 1MiB') },
    '5:54',
    'repositories.local.multipartThreshold',
    'is too small',
  ),
  's3 flag as a word': bad(
    { 5: s3('forcePathStyle: yes') },
    '5:50',
    'repositories.local.forcePathStyle',
    'neither true nor false',
  ),
  // Targets
  'target without type': bad({ 7: '  shop: { engine: physical }' }, '7:3', 'targets.shop.type', 'use one of: postgres'),
  'group of a group': bad(
    { 7: '  shop: { type: group, members: [shop] }' },
    '7:34',
    'targets.shop.members[0]',
    '"shop" is a group; name its members',
  ),
  'target type unknown': bad({ 7: '  shop: { type: mysql }' }, '7:17', 'targets.shop.type', 'use one of: postgres'),
  'target without engine': bad(
    { 7: '  shop: { type: postgres, connection: { env: U } }' },
    '7:3',
    'targets.shop.engine',
    'is missing',
  ),
  'misspelt engine': bad(
    { 7: '  shop: { type: postgres, engine: phisical, connection: { env: U } }' },
    '7:35',
    'targets.shop.engine',
    'did you mean "physical"?',
  ),
  'target without connection': bad(
    { 7: '  shop: { type: postgres, engine: physical }' },
    '7:3',
    'targets.shop',
    'has no connection',
  ),
  'connection that is no URL': bad(
    { 7: '  shop: { type: postgres, engine: physical, connection: "host=x password=topsecret" }' },
    '7:57',
    'targets.shop.connection',
    'must begin with postgres://',
  ),
  'reference without name': bad(
    { 7: '  shop: { type: postgres, engine: physical, connection: { env: } }' },
    '7:45',
    'targets.shop.connection',
    'is a reference without a name',
  ),
  'reference of two kinds': bad(
    { 7: '  shop: { type: postgres, engine: physical, connection: { env: A, file: b } }' },
    '7:45',
    'targets.shop.connection',
    'must be one value, { env: NAME } or { file: PATH }',
  ),
  'reference to a bad name': bad(
    { 7: '  shop: { type: postgres, engine: physical, connection: { env: "A B" } }' },
    '7:45',
    'targets.shop.connection',
    'is not a name of an environment variable',
  ),
  'numeric password': bad({ 7: target('password: 123456') }, '7:86', 'targets.shop.password', 'is a number, not text'),
  'connection and members': bad(
    { 7: target('members: [{ name: a, connection: { env: A } }]') },
    '7:45',
    'targets.shop.connection',
    'stands beside members',
  ),
  'member twice': bad(
    { 7: target('standbys: [{ name: a, connection: { env: A } }, { name: a, connection: { env: B } }]') },
    '7:132',
    'targets.shop.standbys[1].name',
    '"a" is there twice',
  ),
  'member without connection': bad(
    { 7: target('standbys: [{ name: a }]') },
    '7:87',
    'targets.shop.standbys[0].connection',
    'is missing',
  ),
  fence: bad(
    { 7: target('standbys: [{ name: a, connection: { env: A }, fence: exec }]') },
    '7:122',
    'targets.shop.standbys[0].fence',
    'must be a mapping',
  ),
  'two members in one directory': bad(
    { 7: target('standbys: [{ name: a, connection: { env: A }, dataDir: /d }, { name: b, connection: { env: B }, dataDir: /d }]') },
    '7:181',
    'targets.shop.standbys[1].dataDir',
    'fenced for the other',
  ),
  'wal of a dump': bad({ 7: target('wal: true', 'logical') }, '7:75', 'targets.shop.wal', 'is only for engine: physical'),
  'wal by half': bad({ 7: target('wal: maybe') }, '7:81', 'targets.shop.wal', 'is neither true nor false'),
  'wal required nowhere': bad(
    { 7: target('wal: true, walRequired: [elsewhere]') },
    '7:101',
    'targets.shop.walRequired[0]',
    'is no repository of this configuration',
  ),
  'relative data directory': bad(
    { 7: target('dataDir: data') },
    '7:85',
    'targets.shop.dataDir',
    'must be an absolute path',
  ),
  'data directory of a logical target': bad(
    { 7: target('dataDir: /data', 'logical') },
    '7:75',
    'targets.shop.dataDir',
    'is only for engine: physical',
  ),
  'part of a physical target': bad(
    { 7: target('only: { schemas: [a] }') },
    '7:76',
    'targets.shop.only',
    'is only for engine: logical',
  ),
  'part without parts': bad(
    { 7: target('only: {}', 'logical') },
    '7:75',
    'targets.shop.only',
    'names neither schemas nor tables',
  ),
  'too many jobs': bad({ 7: target('jobs: 1000') }, '7:82', 'targets.shop.jobs', '1000 is not between 1 and 64'),
  'half a job': bad({ 7: target('jobs: 1.5') }, '7:82', 'targets.shop.jobs', '1.5 is not a whole number'),
  'compression level': bad(
    { 7: target('compressionLevel: 22') },
    '7:94',
    'targets.shop.compressionLevel',
    'is not between 1 and 19',
  ),
  'level without compression': bad(
    { 7: target('compression: none, compressionLevel: 3') },
    '7:95',
    'targets.shop.compressionLevel',
    'has no effect',
  ),
  'unknown depth': bad(
    { 7: target('verify: full') },
    '7:84',
    'targets.shop.verify',
    'is none of checksum, authenticated, content',
  ),
  'unknown repository': bad(
    { 7: target('repositories: [locl]') },
    '7:91',
    'targets.shop.repositories[0]',
    'did you mean "local"?',
  ),
  'repository twice': bad(
    { 7: target('repositories: [local, local]') },
    '7:98',
    'targets.shop.repositories[1]',
    'is named twice',
  ),
  'standby without standbys': bad(
    { 7: target('backupFrom: standby') },
    '7:88',
    'targets.shop.backupFrom',
    'no standbys are named',
  ),
  'hook as one text': bad(
    { 7: target('service: { stop: systemctl stop api }') },
    '7:93',
    'targets.shop.service.stop',
    'it must be a list',
  ),
  'hook without a program': bad(
    { 7: target('service: { stop: [] }') },
    '7:87',
    'targets.shop.service.stop',
    'is an empty list',
  ),
  'hook time without unit': bad(
    { 7: target('service: { timeout: 30 }') },
    '7:96',
    'targets.shop.service.timeout',
    'write for example 30s',
  ),
  'user name': bad({ 7: target('runAs: "a b"') }, '7:83', 'targets.shop.runAs', 'is not a user name'),
  'relative tablespace': bad(
    { 7: target('tablespaceMap: { data: /x }') },
    '7:93',
    'targets.shop.tablespaceMap.data',
    'must be an absolute path',
  ),
  'control character': bad(
    { 7: target('staging: "/a\\u001bb"') },
    '7:85',
    'targets.shop.staging',
    'control characters',
  ),
  'long target name': bad(
    { 7: `  ${'x'.repeat(64)}: { type: postgres, engine: physical, connection: { env: U } }` },
    '7:3',
    `targets.${'x'.repeat(64)}`,
    'at most 63',
  ),
  // Policies, retention, objectives
  'policy for an unknown target': bad(
    { 8: 'policies: [{ targets: [shp] }]' },
    '8:24',
    'policies[0].targets[0]',
    'did you mean "shop"?',
  ),
  'policy for toString': bad(
    { 8: 'policies: [{ targets: [toString] }]' },
    '8:24',
    'policies[0].targets[0]',
    'is no target',
  ),
  'policy without targets': bad(
    { 8: 'policies: [{ kind: full }]' },
    '8:12',
    'policies[0].targets',
    'is missing; it must be a list',
  ),
  'policy with one target as text': bad(
    { 8: 'policies: [{ targets: shop }]' },
    '8:23',
    'policies[0].targets',
    'it must be a list: [a, b]',
  ),
  'policy into an unknown repository': bad(
    { 8: 'policies: [{ targets: [shop], repositories: [cloud] }]' },
    '8:46',
    'policies[0].repositories[0]',
    'is no repository',
  ),
  'unknown kind': bad(
    { 8: 'policies: [{ targets: [shop], kind: diff }]' },
    '8:37',
    'policies[0].kind',
    'is none of full, differential, incremental',
  ),
  'four cron fields': bad(
    { 8: "policies: [{ targets: [shop], schedule: '0 2 * *' }]" },
    '8:41',
    'policies[0].schedule',
    'it has 4 fields, not 5',
  ),
  'cron hour 24': bad(
    { 8: "policies: [{ targets: [shop], schedule: '0 24 * * *' }]" },
    '8:41',
    'policies[0].schedule',
    'outside 0–23',
  ),
  'cron day that never comes': bad(
    { 8: "policies: [{ targets: [shop], schedule: '0 0 31 2 *' }]" },
    '8:41',
    'policies[0].schedule',
    'would never run',
  ),
  'cron macro': bad(
    { 8: "policies: [{ targets: [shop], schedule: '@nightly' }]" },
    '8:41',
    'policies[0].schedule',
    'none of @hourly',
  ),
  'unknown time zone': bad(
    { 8: 'policies: [{ targets: [shop], timezone: Asia/Soul }]' },
    '8:41',
    'policies[0].timezone',
    'is not a time zone',
  ),
  'incremental of a logical target': bad(
    {
      7: '  shop: { type: postgres, engine: logical, connection: { env: U } }',
      8: 'policies: [{ targets: [shop], kind: incremental }]',
    },
    '8:37',
    'policies[0].kind',
    'knows full backups only',
  ),
  'retention that keeps nothing': bad(
    { 8: 'retention: [{ repositories: [local] }]' },
    '8:13',
    'retention[0]',
    'keeps nothing',
  ),
  'retention for an unknown target': bad(
    { 8: 'retention: [{ targets: [x], daily: 7 }]' },
    '8:25',
    'retention[0].targets[0]',
    'is no target',
  ),
  'negative retention': bad({ 8: 'retention: [{ daily: -1 }]' }, '8:22', 'retention[0].daily', 'is not between 0'),
  'age without unit': bad({ 8: 'retention: [{ age: 30 }]' }, '8:20', 'retention[0].age', 'write for example 30s'),
  'objective in words': bad({ 8: 'objectives: { rto: four hours }' }, '8:20', 'objectives.rto', 'is not a duration'),
  'objective of nothing': bad({ 8: 'objectives: { rpo: 0s }' }, '8:20', 'objectives.rpo', 'is too short'),
};
