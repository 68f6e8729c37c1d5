import { z } from 'zod';
import { list, mapping, name } from './leaf.ts';
import { commonTarget } from './schema-target-common.ts';

export const groupTarget = mapping(
  {
    type: z.literal('group'),
    members: list(name('Name of a target.'), 'Targets that are backed up together, in this order, under one id.'),
    ...commonTarget,
  },
  'Several targets as one backup.',
);
