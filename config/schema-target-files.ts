import { z } from 'zod';
import { filePath, flag, list, mapping, text } from './leaf.ts';
import { commonTarget } from './schema-target-common.ts';

const glob = (description: string) => text(description, { example: '**/cache/**' });

export const filesTarget = mapping(
  {
    type: z.literal('files'),
    paths: list(filePath('A directory or a file.', { absolute: true }), 'Directories and files, by absolute path.'),
    exclude: list(
      glob('A pattern.'),
      'What is left out: globs on the absolute path; one without a leading `/` fits below any of `paths`.',
    ).optional(),
    include: list(glob('A pattern.'), 'Only files that fit one of these globs, and the directories on the way.').optional(),
    oneFileSystem: flag('Stay on the file system each of `paths` lies on.').default(false),
    ...commonTarget,
  },
  'Directories and files of a host.',
);
