/** Parts of a configuration as they are written, before anything is known of them. */
export type Raw = Readonly<Record<string, unknown>>;

export const isMapping = (value: unknown): value is Raw => typeof value === 'object' && value !== null && !Array.isArray(value);
export const mappingOf = (value: unknown): Raw => (isMapping(value) ? value : {});
export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
export const has = (value: Raw, key: string): boolean => Object.hasOwn(value, key);
