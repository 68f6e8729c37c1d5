import { createNodeResolver, importX } from 'eslint-plugin-import-x';
import tseslint from 'typescript-eslint';

/** Folders of the product, in the words of docs/architecture.md. */
const folders = ['domain', 'workflows', 'activities', 'providers', 'config', 'workers', 'client'];

/** What a folder may load at run time (`types` in addition only by `import type`); the others are closed to it. */
const mayImport = {
  domain: { code: ['domain'] },
  workflows: { code: ['domain', 'workflows'], types: ['activities'] },
  activities: { code: ['domain', 'activities', 'providers', 'config'], types: ['workflows'] },
  providers: { code: ['domain', 'providers'] },
  config: { code: ['domain', 'config'] },
};

const boundary = (folder, { code, types = [] }) => {
  const closed = folders.filter((each) => each !== folder && !code.includes(each) && !types.includes(each));
  const inside = (names) => `^(\\.\\./)+(${names.join('|')})/`;
  return {
    files: [`${folder}/**/*.ts`],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            { regex: inside(closed), message: `${folder}/ may not import this folder; see docs/architecture.md.` },
            ...(types.length > 0
              ? [
                  {
                    regex: inside(types),
                    allowTypeImports: true,
                    message: `${folder}/ may import this folder by \`import type\` only.`,
                  },
                ]
              : []),
            { regex: '^(\\.\\./)+(test|bench|demo|scripts)/', message: 'The product does not depend on its tests.' },
            ...(packages[folder] ?? []),
          ],
        },
      ],
    },
  };
};

const only = (allowed, message) => ({ regex: `^(?!\\.|${allowed})`, message });
const packages = {
  // No I/O, no clock, no SDK.
  domain: [only('$^', 'domain/ imports nothing but itself.')],
  workflows: [
    only(
      '@temporalio/(workflow|common)(/|$)',
      'A workflow may load only @temporalio/workflow and @temporalio/common: it runs in a sandbox.',
    ),
  ],
  providers: [{ regex: '^@temporalio/', message: 'Providers know nothing of Temporal.' }],
  config: [{ regex: '^@temporalio/', message: 'The configuration knows nothing of Temporal.' }],
};

export default tseslint.config(
  { ignores: ['dist/**', 'coverage/**', '.tools/**', '.resurgo/**', 'node_modules/**'] },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { 'import-x': importX },
    settings: {
      'import-x/resolver-next': [createNodeResolver({ extensions: ['.ts', '.js'] })],
      'import-x/extensions': ['.ts'],
      'import-x/parsers': { '@typescript-eslint/parser': ['.ts'] },
    },
    rules: {
      'import-x/no-cycle': ['error', { ignoreExternal: true }],
      'no-restricted-imports': 'off',
      '@typescript-eslint/consistent-type-imports': [
        'error',
        { fixStyle: 'inline-type-imports', disallowTypeAnnotations: false },
      ],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      // Numbers in messages are fine as they are; anything else should say how it wants to be shown.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // `x!` after a check that the compiler cannot follow is shorter than a cast; `noUncheckedIndexedAccess` makes it common.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // `onData: () => list.push(x)` reads well.
      '@typescript-eslint/no-confusing-void-expression': [
        'error',
        { ignoreArrowShorthand: true, ignoreVoidOperator: true },
      ],
      // An activity or a port is async by contract even where this one does not wait.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrorsIgnorePattern: '^_' },
      ],
      '@typescript-eslint/no-misused-promises': [
        'error',
        { checksVoidReturn: { arguments: false, attributes: false } },
      ],
      '@typescript-eslint/no-unnecessary-condition': [
        'error',
        { allowConstantLoopConditions: 'only-allowed-literals' },
      ],
      '@typescript-eslint/no-invalid-void-type': 'off',
      // What was caught is thrown on as it is.
      '@typescript-eslint/only-throw-error': ['error', { allowThrowingAny: true, allowThrowingUnknown: true }],
      '@typescript-eslint/prefer-promise-reject-errors': [
        'error',
        { allowThrowingAny: true, allowThrowingUnknown: true },
      ],
      '@typescript-eslint/no-misused-spread': ['error', { allow: ['string'] }],
      '@typescript-eslint/no-unnecessary-type-conversion': 'off',
      '@typescript-eslint/no-floating-promises': 'error',
    },
  },
  ...Object.entries(mayImport).map(([folder, rule]) => boundary(folder, rule)),
  {
    // Only composition roots read the environment.
    files: ['domain/**/*.ts', 'workflows/**/*.ts', 'activities/**/*.ts'],
    rules: {
      'no-restricted-properties': [
        'error',
        { object: 'process', property: 'env', message: 'Only workers/ and client/ read the environment.' },
      ],
    },
  },
  {
    files: ['test/**/*.ts', 'bench/**/*.ts', 'demo/**/*.ts', 'vitest*.ts'],
    rules: {
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-dynamic-delete': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
);
