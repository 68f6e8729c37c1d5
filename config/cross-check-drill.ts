/** What no single field of `drills` shows. */
import { namePattern } from '../domain/ids.ts';
import type { Report } from './cross-check.ts';
import { show } from './leaf-core.ts';
import { didYouMean } from './suggest.ts';
import { has, isMapping, listOf, mappingOf, type Raw } from './raw.ts';

/** One drill a target; each check is of one kind, with the keys of that kind. */
export function checkDrills(root: Raw, targets: Raw, report: Report): void {
  const seen = new Set<unknown>();
  for (const [i, value] of listOf(root['drills']).entries()) {
    const drill = mappingOf(value);
    const { target } = drill;
    if (typeof target === 'string' && namePattern.test(target)) {
      const names = Object.keys(targets);
      if (!has(targets, target)) report(['drills', i, 'target'], `${show(target)} is no target of this configuration${didYouMean(target, names) || (names.length ? `; there are ${names.slice(0, 10).join(', ')}` : '')}`);
      if (seen.has(target)) report(['drills', i, 'target'], `${show(target)} has a drill already; put its checks together`);
      seen.add(target);
    }
    for (const [n, entry] of listOf(drill['checks']).entries()) {
      const check = mappingOf(entry);
      const kinds = ['sql', 'http', 'command'].filter((kind) => has(check, kind));
      if (isMapping(entry) && kinds.length !== 1) report(['drills', i, 'checks', n], kinds.length === 0 ? 'checks nothing; give sql, http or command' : `is ${kinds.join(' and ')} at once; make each a check of its own`);
      const only: Record<string, readonly string[]> = { sql: ['equals', 'min', 'database'], http: ['status', 'contains', 'start'], command: [] };
      for (const [kind, keys] of Object.entries(only)) for (const key of keys) if (kinds.length === 1 && !kinds.includes(kind) && has(check, key)) report(['drills', i, 'checks', n, key], `goes with ${kind} only`, 'key');
      if (has(check, 'equals') && has(check, 'min')) report(['drills', i, 'checks', n, 'min'], 'stands beside equals; use one of them', 'key');
    }
  }
}
