import { z } from 'zod';
import { leaf, asText, refuse } from './leaf-core.ts';
import { connection, secret } from './leaf-keys.ts';
import { integer, list, mapping, text } from './leaf.ts';
import { commonTarget } from './schema-target-common.ts';

/** A query without its closing semicolon: it becomes a part of another. */
const sql = (description: string, example: string) =>
  leaf<string>({ kind: 'SQL', description, example }, (value) => {
    const word = asText(value).trim().replace(/;\s*$/, '');
    return word === '' ? refuse('is empty') : word;
  });

const version = leaf<string>({ kind: 'number or text', description: 'The version of the application’s schema, where the configuration tells it.', example: '3' }, (value) => {
  if (typeof value !== 'number' && typeof value !== 'string') return refuse('is neither a version nor { query: … }');
  const word = String(value).trim();
  return word === '' || word.length > 100 ? refuse('is not a version: 1 to 100 characters') : word;
});

const schemaVersion = z
  .union([version, mapping({ query: sql('A query that gives the version: one row, one value.', 'select max(version) from schema_migrations') })], { error: () => 'a version or { query: … }' })
  .meta({ kind: 'version, or `{ query: … }`', description: 'Version of the schema: a number or text whose leading number counts, or a query that tells it from the database.' });

const setQuery = mapping(
  {
    sql: sql('A SELECT.', 'select id, name from people where active'),
    table: text('Table it is restored into; without one it is restored beside only, into a table named for the set.').optional(),
  },
  'A query whose result is backed up.',
);

const set = mapping(
  {
    tables: list(text('`schema.table`, `public` when not said; quoted as in SQL where a name holds a dot.'), 'Whole tables.').optional(),
    queries: z
      .record(z.string(), setQuery)
      .meta({ kind: 'mapping of name to query', description: 'Queries, by name.' })
      .optional(),
    schemaVersion: schemaVersion.optional(),
  },
  'A named group of tables and queries.',
);

export const datasetTarget = mapping(
  {
    type: z.literal('dataset'),
    connection: connection('URL of the database.'),
    password: secret('Password, when the URL has none.').optional(),
    schemaVersion: schemaVersion.optional(),
    maxVersionDistance: integer('A restore is refused when the leading numbers of the two schema versions are further apart than this, either way.', 0, 1_000_000).default(1),
    sets: z.record(z.string(), set).meta({ kind: 'mapping of name to set', description: 'What is backed up together, in one snapshot; each set can be restored by itself (`--only`).' }),
    ...commonTarget,
  },
  'Named groups of tables and queries of a database.',
);
