/** postgresql.auto.conf as text: settings are replaced and taken out, everything else stays. */

const nameOf = (line: string): string | undefined => /^\s*([A-Za-z_][\w.]*)\s*(?:=|\s)/.exec(line)?.[1]?.toLowerCase();

/** @param settings null takes a setting out */
export function withSettings(text: string, settings: Readonly<Record<string, string | null>>): string {
  const kept = text.split('\n').filter((line) => !Object.hasOwn(settings, nameOf(line) ?? ''));
  while (kept.at(-1) === '') kept.pop();
  const added = Object.entries(settings).flatMap(([name, value]) => (value === null ? [] : [`${name} = '${value.replaceAll("'", "''").replaceAll('\\', '\\\\')}'`]));
  return `${[...kept, ...added].join('\n')}\n`;
}

/** The last value of a setting, as written by {@link withSettings} or ALTER SYSTEM. */
export function settingIn(text: string, name: string): string | undefined {
  const line = text.split('\n').findLast((each) => nameOf(each) === name);
  const value = line?.slice((/=|\s(?=\S)/.exec(line.trimStart())?.index ?? 0) + (line.length - line.trimStart().length)).replace(/^[\s=]+/, '').replace(/\s*(#.*)?$/, '');
  return value?.replace(/^'(.*)'$/s, '$1').replaceAll("''", "'");
}
