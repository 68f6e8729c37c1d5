/** Which backups a retention rule keeps by their times alone. Counting is by periods that have backups, so a clock that jumps loses nothing. */

export interface RetentionRule {
  /** Keep the newest N. */
  readonly last?: number;
  /** Keep the newest of each of the last N hours, days … that have one. */
  readonly hourly?: number;
  readonly daily?: number;
  /** Weeks begin on Monday. */
  readonly weekly?: number;
  readonly monthly?: number;
  readonly yearly?: number;
  /** Keep what began less than this long ago, ms. */
  readonly age?: number;
  /** Keep what points in time less than this long ago may begin with, ms: all that is younger, and the last two before. */
  readonly pitr?: number;
  /** IANA name; whose days, weeks, months and years are counted. Default UTC. */
  readonly timezone?: string;
}

/** What applies where no rule is configured. */
export const defaultRetention: readonly RetentionRule[] = [{ daily: 7, weekly: 4, monthly: 12 }];

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

interface Day {
  readonly year: number;
  readonly month: number;
  /** Days since 1970-01-01 of that calendar date. */
  readonly number: number;
}

type Period = 'hourly' | 'daily' | 'weekly' | 'monthly' | 'yearly';

const isoDay = (number: number): string => new Date(number * dayMs).toISOString().slice(0, 10);

/** A name per period, which is what tells periods apart; hours are those of the earth, not of a clock that is set back. */
const periodNames: Readonly<Record<Period, (time: number, day: Day) => string>> = {
  hourly: (time) => `the hour ${new Date(Math.floor(time / hourMs) * hourMs).toISOString().slice(0, 13)}h UTC`,
  daily: (_, day) => isoDay(day.number),
  // 1970-01-01 was a Thursday.
  weekly: (_, day) => `the week of ${isoDay(Math.floor((day.number + 3) / 7) * 7 - 3)}`,
  monthly: (_, day) => `${String(day.year)}-${String(day.month).padStart(2, '0')}`,
  yearly: (_, day) => String(day.year),
};

function calendar(timezone: string): (time: number) => Day {
  if (timezone === 'UTC') {
    return (time) => {
      const date = new Date(time);
      return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, number: Math.floor(time / dayMs) };
    };
  }
  const clock = new Intl.DateTimeFormat('en-US', { timeZone: timezone, calendar: 'gregory', year: 'numeric', month: 'numeric', day: 'numeric' });
  return (time) => {
    const part = Object.fromEntries(clock.formatToParts(time).map(({ type, value }) => [type, Number(value)]));
    const [year = 1970, month = 1, day = 1] = [part['year'], part['month'], part['day']];
    return { year, month, number: Date.UTC(year, month - 1, day) / dayMs };
  };
}

/**
 * @param times of the backups, newest first, ms since the epoch
 * @returns per index the reasons, in words, why the rule keeps it; none: it does not
 */
export function keptByRule(times: readonly number[], rule: RetentionRule, now: number): string[][] {
  const reasons = times.map((): string[] => []);
  const last = rule.last ?? 0;
  for (let i = 0; i < Math.min(last, times.length); i++) reasons[i]?.push(`one of the newest ${String(last)}`);
  const dayOf = calendar(rule.timezone ?? 'UTC');
  const days = times.map(dayOf);
  for (const period of Object.keys(periodNames) as Period[]) {
    const wanted = rule[period] ?? 0;
    const seen = new Set<string>();
    for (let i = 0; i < times.length && seen.size < wanted; i++) {
      const name = periodNames[period](times[i] as number, days[i] as Day);
      if (seen.has(name)) continue;
      seen.add(name);
      reasons[i]?.push(`newest of ${name} (${period} ${String(wanted)})`);
    }
  }
  const { age } = rule;
  if (age !== undefined) {
    for (const [i, time] of times.entries()) if (now - time < age) reasons[i]?.push(`younger than ${words(age)}`);
  }
  const { pitr } = rule;
  if (pitr !== undefined) {
    // Times are those of the beginning; the last that began before the window may have ended inside it, so one more is kept.
    const before = times.findIndex((time) => now - time >= pitr);
    for (let i = 0; i < times.length; i++) {
      if (before < 0 || i < before) reasons[i]?.push(`inside the point-in-time window of ${words(pitr)}`);
      else if (i <= before + 1) reasons[i]?.push(`the point-in-time window of ${words(pitr)} begins with it`);
    }
  }
  return reasons;
}

function words(ms: number): string {
  const [size, unit] = ms % dayMs === 0 ? [dayMs, 'd'] : ms % hourMs === 0 ? [hourMs, 'h'] : ms % 60_000 === 0 ? [60_000, 'm'] : [1000, 's'];
  return `${String(ms / size)}${unit}`;
}
