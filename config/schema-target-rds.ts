import { z } from 'zod';
import { duration, list, mapping, text, url } from './leaf.ts';
import { commonTarget } from './schema-target-common.ts';

const identifier = (description: string, example: string) =>
  text(description, { example, check: (value) => (/^[A-Za-z][A-Za-z0-9-]{0,62}$/.test(value) && !value.includes('--') && !value.endsWith('-') ? undefined : 'is not an identifier of RDS: letters, digits and single hyphens, beginning with a letter') });

const region = (description: string) => text(description, { example: 'ap-northeast-2', check: (value) => (/^[a-z]{2}(-[a-z]+)+-\d$/.test(value) ? undefined : 'is not a region of AWS') });

const endpoint = url('Address of an emulator or a private endpoint; leave it out for AWS.').optional();

export const rdsTarget = mapping(
  {
    type: z.literal('rds'),
    instance: identifier('Identifier of a DB instance.', 'ledger-prod').optional(),
    cluster: identifier('Identifier of an Aurora or Multi-AZ cluster; in place of `instance`.', 'ledger').optional(),
    region: region('Region of the database.'),
    endpoint,
    copyTo: list(
      mapping(
        { region: region('Region of the copy.'), kmsKeyId: text('KMS key of that region; needed where the snapshot is encrypted.').optional(), endpoint },
        'A copy of each snapshot.',
      ),
      'Other regions each snapshot is copied to.',
    ).optional(),
    deadline: duration('How long a snapshot, a copy or a restore may take.').default(4 * 3_600_000),
    poll: duration('Time between two questions how far it is; default 5 s growing to 30 s.').optional(),
    ...commonTarget,
  },
  'An Amazon RDS instance or cluster, by snapshots. Credentials come from the default chain of AWS.',
);
