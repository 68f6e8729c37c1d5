import { createHash } from 'node:crypto';

export const digest = (...parts: readonly string[]): string => createHash('sha256').update(parts.map((part) => `${String(part.length)}:${part}`).join('')).digest('hex');

/** What people read in the id of an incident. */
const slug = (text: string): string => text.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-').replace(/^-+/, '').slice(0, 32).replace(/-+$/, '') || 'incident';

/** The same for all alerts about the same thing (`groupOf`), and for nothing else: readable, with a digest that tells apart what reads the same. */
export const fingerprintOf = (group: string): string => `${slug(group)}-${digest('incident', group).slice(0, 10)}`;
