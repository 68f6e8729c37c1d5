/** Who notices that nobody watches any more: `deadman`. */
import type { z } from 'zod';
import { secret } from './leaf-keys.ts';
import { duration, isHttpUrl, list, mapping, name, oneOf } from './leaf.ts';

const ping = mapping(
  {
    name: name('Its name in `resurgo status`; default `health` or `backup`.').optional(),
    url: secret('What is pinged: the address of a check at healthchecks.io, or of a service of its kind.', { check: isHttpUrl }),
    on: oneOf(['health', 'backup'], '`health`: every `every`, success only while every objective is met and Temporal and all repositories answer; `backup`: begin and end of every backup run.').default('health'),
    targets: list(name('A target.'), 'Only these targets; default all.').optional(),
    every: duration('How often with `on: health`. Give the check a grace of twice that or more.', { min: 1_000 }).default(300_000),
    style: oneOf(['healthchecks', 'plain'], '`healthchecks`: `URL` for success, `URL/start` and `URL/fail` for the others; `plain`: only success is told, by a GET.').default('healthchecks'),
    timeout: duration('How long one attempt may take.', { min: 100 }).default(5_000),
  },
  'A service outside that alerts when pings stay away.',
);

export const deadmanSection = list(ping, 'Dead-man pings: who is told that all is well, so that silence is an alert.');
export type DeadmanConfig = z.output<typeof ping>;
