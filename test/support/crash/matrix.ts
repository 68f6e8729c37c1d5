/** Every activity of a run, killed before, after, and at several places of what it does. */
import type { Effect, CrashPlan } from './plan.ts';

/** Activity → how many places inside; places are spread evenly over all its effects. */
export type Places = Readonly<Record<string, number>>;

export interface MatrixCase {
  readonly name: string;
  readonly activity: string;
  /** Which of so many places inside; undefined: before or after. */
  readonly place?: { readonly n: number; readonly of: number };
  readonly when: CrashPlan['when'];
}

export function matrixCases(places: Places): MatrixCase[] {
  return Object.entries(places).flatMap(([activity, count]) => [
    { name: `before ${activity}`, activity, when: 'before' },
    ...Array.from({ length: count }, (_, i): MatrixCase => ({ name: `inside ${activity}, place ${String(i + 1)} of ${String(count)}`, activity, when: 'inside', place: { n: i + 1, of: count } })),
    { name: `after ${activity}`, activity, when: 'after' },
  ]);
}

/** Places as numbers, by what the activity did in a run that went well. */
export function planOf({ activity, when, place }: MatrixCase, effects: readonly Effect[]): CrashPlan {
  if (place === undefined) return { activity, when };
  const count = effects.filter((effect) => effect.activity === activity).length;
  if (count === 0) throw new Error(`${activity} had no effects in the run that went well`);
  // The last places are left out: runs differ a little.
  const at = place.of === 1 ? 1 : 1 + Math.floor(((place.n - 1) * (count * 0.92 - 1)) / (place.of - 1));
  return { activity, when: 'inside', at, orAtEnd: true };
}
