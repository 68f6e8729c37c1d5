/** What no single field of `gamedays` shows. */
import { disasterKinds, tableDisasters, type DisasterKind } from '../domain/gameday.ts';
import { namePattern } from '../domain/ids.ts';
import type { Report } from './cross-check.ts';
import { show } from './leaf-core.ts';
import { didYouMean } from './suggest.ts';
import { has, listOf, mappingOf, type Raw } from './raw.ts';

/** Each names a plan and a PostgreSQL target of this configuration; a disaster has the keys of its kind. */
export function checkGameDays(root: Raw, targets: Raw, report: Report): void {
  const plans = mappingOf(root['plans']);
  const seen = new Set<string>();
  for (const [i, value] of listOf(root['gamedays']).entries()) {
    const day = mappingOf(value);
    const at = (key: string): (string | number)[] => ['gamedays', i, key];
    const { plan, target, disaster, table, where } = day as Record<string, unknown>;
    if (typeof plan === 'string' && namePattern.test(plan) && !has(plans, plan)) report(at('plan'), `${show(plan)} is no plan of this configuration${didYouMean(plan, Object.keys(plans)) || (Object.keys(plans).length > 0 ? `; there are ${Object.keys(plans).slice(0, 10).join(', ')}` : '')}`);
    if (typeof target === 'string' && namePattern.test(target)) {
      if (!has(targets, target)) report(at('target'), `${show(target)} is no target of this configuration${didYouMean(target, Object.keys(targets))}`);
      else if (mappingOf(targets[target])['type'] !== 'postgres') report(at('target'), `${show(target)} is of type ${show(mappingOf(targets[target])['type'])}; a game day needs a postgres target`);
    }
    if (typeof plan === 'string' && typeof target === 'string') {
      if (seen.has(`${plan} ${target}`)) report(at('plan'), `${show(plan)} has a game day on ${show(target)} already`);
      seen.add(`${plan} ${target}`);
    }
    if (typeof disaster !== 'string' || !disasterKinds.includes(disaster as DisasterKind)) continue;
    const ofTable = tableDisasters.includes(disaster as DisasterKind);
    if (ofTable && !has(day, 'table')) report(at('disaster'), `${disaster} needs a table; write table: schema.name`);
    if (!ofTable && table !== undefined) report(at('table'), `goes with ${tableDisasters.join(', ')} only`, 'key');
    if (where !== undefined && disaster !== 'rows-deleted') report(at('where'), 'goes with rows-deleted only', 'key');
    const steps = listOf(mappingOf(typeof plan === 'string' && has(plans, plan) ? plans[plan] : {})['steps']).map((step) => mappingOf(step)['id']);
    for (const [n, id] of listOf(day['run']).entries())
      if (typeof id === 'string' && namePattern.test(id) && steps.length > 0 && !steps.includes(id)) report([...at('run'), n], `${show(id)} is no step of plan ${show(plan)}${didYouMean(id, steps.filter((step) => typeof step === 'string'))}`);
  }
}
