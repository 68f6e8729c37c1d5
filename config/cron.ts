/** Cron expressions with five fields, as Temporal Schedules take them. */

interface Field {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly names?: readonly string[];
}

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const days = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const fields: readonly Field[] = [
  { name: 'minute', min: 0, max: 59 },
  { name: 'hour', min: 0, max: 23 },
  { name: 'day of month', min: 1, max: 31 },
  { name: 'month', min: 1, max: 12, names: months },
  { name: 'day of week', min: 0, max: 7, names: days },
];
const macros: Readonly<Record<string, string>> = {
  '@hourly': '0 * * * *',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@weekly': '0 0 * * 0',
  '@monthly': '0 0 1 * *',
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
};

export interface Cron {
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  /** The days it fires on, as calendars of which any is enough; each of its lists has to fit. Month 1–12, weekday 0 = Sunday. */
  readonly days: readonly {
    readonly monthDays: readonly number[];
    readonly months: readonly number[];
    readonly weekdays: readonly number[];
  }[];
  /** Whether it fires on that calendar day (month 1–12, weekday 0 = Sunday). */
  firesOn(day: number, month: number, weekday: number): boolean;
}

function parseField(text: string, field: Field): Set<number> | string {
  const values = new Set<number>();
  const number = (word: string): number | undefined => {
    const index = field.names?.indexOf(word.toLowerCase()) ?? -1;
    if (index >= 0) return index + (field.min === 1 ? 1 : 0);
    return /^\d{1,2}$/.test(word) ? Number(word) : undefined;
  };
  for (const item of text.split(',')) {
    const match = /^(\*|[A-Za-z0-9]+)(?:-([A-Za-z0-9]+))?(?:\/(\d{1,2}))?$/.exec(item);
    const bad = `its ${field.name} ${JSON.stringify(item)} is not a number ${field.min}–${field.max}, a range, a list or a step`;
    if (!match || (match[1] === '*' && match[2] !== undefined)) return bad;
    const step = match[3] === undefined ? 1 : Number(match[3]);
    const from = match[1] === '*' ? field.min : number(match[1] ?? '');
    const to =
      match[2] !== undefined ? number(match[2]) : match[1] === '*' || match[3] !== undefined ? field.max : from;
    if (from === undefined || to === undefined || step === 0) return bad;
    if (from < field.min || to > field.max || from > to)
      return `its ${field.name} ${JSON.stringify(item)} is outside ${field.min}–${field.max}`;
    for (let value = from; value <= to; value += step) values.add(field.name === 'day of week' ? value % 7 : value);
  }
  return values;
}

/** The parsed expression, or the reason (words) why it is none. */
export function parseCron(text: string): Cron | string {
  const expression = text.startsWith('@') ? macros[text.toLowerCase()] : text;
  if (expression === undefined) return `it is none of ${Object.keys(macros).join(', ')}`;
  const words = expression.trim().split(/\s+/);
  if (words.length !== 5)
    return `it has ${words.length} fields, not 5 (minute, hour, day of month, month, day of week)`;
  const sets: Set<number>[] = [];
  for (const [i, field] of fields.entries()) {
    const set = parseField(words[i] ?? '', field);
    if (typeof set === 'string') return set;
    sets.push(set);
  }
  const [minutes, hours, monthDays, monthSet, weekdays] = sets as [
    Set<number>,
    Set<number>,
    Set<number>,
    Set<number>,
    Set<number>,
  ];
  const anyDay = words[2]?.startsWith('*') ?? true;
  const anyWeekday = words[4]?.startsWith('*') ?? true;
  const sorted = (set: Set<number>): number[] => [...set].sort((a, b) => a - b);
  const longest = (month: number): number => (month === 2 ? 29 : [4, 6, 9, 11].includes(month) ? 30 : 31);
  // With a weekday given, that alone makes it fire.
  if (anyWeekday && ![...monthSet].some((month) => [...monthDays].some((day) => day <= longest(month))))
    return 'no month it names has that day, so it would never run';
  return {
    minutes: sorted(minutes),
    hours: sorted(hours),
    days:
      anyDay || anyWeekday
        ? [{ monthDays: sorted(monthDays), months: sorted(monthSet), weekdays: sorted(weekdays) }]
        : [
            { monthDays: sorted(monthDays), months: sorted(monthSet), weekdays: [0, 1, 2, 3, 4, 5, 6] },
            {
              monthDays: Array.from({ length: 31 }, (_, i) => i + 1),
              months: sorted(monthSet),
              weekdays: sorted(weekdays),
            },
          ],
    // Classic cron: when both are restricted, either is enough.
    firesOn: (day, month, weekday) =>
      monthSet.has(month) &&
      (anyDay || anyWeekday
        ? monthDays.has(day) && weekdays.has(weekday)
        : monthDays.has(day) || weekdays.has(weekday)),
  };
}

/** Milliseconds by which `timezone` is ahead of UTC at a moment. */
function offsetAt(time: number, format: Intl.DateTimeFormat): number {
  const part = Object.fromEntries(format.formatToParts(time).map(({ type, value }) => [type, Number(value)]));
  return (
    Date.UTC(part['year'] ?? 0, (part['month'] ?? 1) - 1, part['day'] ?? 1, part['hour'] ?? 0, part['minute'] ?? 0) -
    Math.floor(time / 60_000) * 60_000
  );
}

const clockOf = (timeZone: string): Intl.DateTimeFormat =>
  new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
  });

/**
 * The longest time between two runs of a set of schedules, ms, over `spanDays` from `from`; undefined when it runs less than twice in it.
 */
export function longestGap(
  schedules: readonly { cron: Cron; timezone: string }[],
  from: number,
  spanDays = 400,
): number | undefined {
  const times = new Set<number>();
  for (const { cron, timezone } of schedules) {
    const clock = clockOf(timezone);
    for (let d = 0; d < spanDays; d++) {
      const date = new Date(from + d * 86_400_000);
      if (!cron.firesOn(date.getUTCDate(), date.getUTCMonth() + 1, date.getUTCDay())) continue;
      const midnight = Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate());
      const offset = offsetAt(midnight, clock);
      for (const hour of cron.hours)
        for (const minute of cron.minutes) times.add(midnight + (hour * 60 + minute) * 60_000 - offset);
    }
  }
  const sorted = [...times].sort((a, b) => a - b);
  let gap: number | undefined;
  for (let i = 1; i < sorted.length; i++) gap = Math.max(gap ?? 0, (sorted[i] ?? 0) - (sorted[i - 1] ?? 0));
  return gap;
}

/** The last moment before `before` at which it fired, ms since the epoch; undefined when that is more than `spanDays` ago. */
export function previousTime(cron: Cron, timezone: string, before: number, spanDays = 400): number | undefined {
  // Most schedules fired lately.
  for (const days of [2, 35, spanDays]) {
    const last = timesBetween(cron, timezone, before - days * 86_400_000, before - 1).at(-1);
    if (last !== undefined) return last;
  }
  return undefined;
}

/** All moments in (from, to] at which it fired, ms since the epoch, ascending. A local time that a change of the clock leaves out comes an hour later. */
export function timesBetween(cron: Cron, timezone: string, from: number, to: number): number[] {
  const clock = clockOf(timezone);
  const day = 86_400_000;
  const found = new Set<number>();
  // A local day may begin up to 14 hours before, and end up to 12 hours after, the UTC day of the same date.
  for (let midnight = Math.floor(from / day) * day - day; midnight <= to + day; midnight += day) {
    const date = new Date(midnight);
    if (!cron.firesOn(date.getUTCDate(), date.getUTCMonth() + 1, date.getUTCDay())) continue;
    const [first, last] = [offsetAt(midnight - 14 * 3_600_000, clock), offsetAt(midnight + 38 * 3_600_000, clock)];
    for (const hour of cron.hours)
      for (const minute of cron.minutes) {
        const local = midnight + (hour * 60 + minute) * 60_000;
        const time = local - (first === last ? first : offsetAt(local - first, clock));
        if (time > from && time <= to) found.add(time);
      }
  }
  return [...found].sort((a, b) => a - b);
}

export function isTimezone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: name });
    return /^[A-Za-z]/.test(name);
  } catch {
    return false;
  }
}
