import { z } from 'zod';
import { filePath, list, mapping, name, text } from './leaf.ts';
import { commonTarget } from './schema-target-common.ts';

export const configTarget = mapping(
  {
    type: z.literal('config'),
    files: list(filePath('A file or a directory.', { absolute: true }), 'Files and directories of configuration, by absolute path.'),
    exclude: list(text('A pattern.'), 'What is left out, as for targets of type files.').optional(),
    services: list(
      text('Name of a systemd unit.', {
        example: 'api.service',
        check: (value) => (/^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]*$/.test(value) ? undefined : 'is not the name of a unit'),
      }),
      'Services whose definitions are kept, as `systemctl cat` shows them.',
    ).optional(),
    databases: list(name('Name of a PostgreSQL target.'), 'PostgreSQL targets whose server settings and access rules are kept.').optional(),
    ...commonTarget,
  },
  'Configuration: files, service definitions, database settings, and that of Resurgo itself.',
);
