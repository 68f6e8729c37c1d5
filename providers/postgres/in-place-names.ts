import { ResurgoError } from '../../domain/errors.ts';

/** The longest name a server keeps, bytes. */
const nameBytes = 63;

/** `base` + `suffix`, with the base cut at a character so that the whole fits into a PostgreSQL name. */
export const fitName = (base: string, suffix: string): string => {
  let room = nameBytes - Buffer.byteLength(suffix);
  let kept = '';
  for (const character of base) {
    room -= Buffer.byteLength(character);
    if (room < 0) break;
    kept += character;
  }
  return `${kept}${suffix}`;
};

/** Name under which restore `id` of a database is built. */
export const workingName = (database: string, id: string): string => fitName(database, `_resurgo_${id}`);
/** Name of the copy that is kept until `restore confirm`. */
export const keptName = (database: string): string => fitName(database, '_old');
/** Name of a restored copy that was rolled back; the n-th one when there are others. */
export const failedName = (database: string, n = 1): string =>
  fitName(database, n === 1 ? '_failed' : `_failed${String(n)}`);

/**
 * Refuses a name the server would cut: what is then looked up, dropped or renamed could be a database of the cut name, which is another one.
 * @throws inputInvalid
 */
export function assertDatabaseName(name: string): void {
  const bytes = Buffer.byteLength(name);
  if (name === '' || name.includes('\0') || bytes > nameBytes)
    throw new ResurgoError(
      'inputInvalid',
      `${JSON.stringify(name)} is not a name for a database: it has ${String(bytes)} bytes, PostgreSQL keeps 1 to ${String(nameBytes)}, none of them zero`,
      { details: { hint: 'Give a shorter name.' } },
    );
}
