import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { Document, Node } from 'yaml';

export type ConfigPath = readonly (string | number)[];

/** One thing that is wrong; `line` and `column` are 1-based. */
export interface ConfigProblem {
  readonly line: number;
  readonly column: number;
  /** `targets.shop.engine`; empty for the file itself. */
  readonly field: string;
  readonly message: string;
  readonly code: 'configInvalid' | 'configUnsafe';
}

export interface YamlSource {
  /** Plain data; undefined when the text is no single YAML document. */
  readonly data: unknown;
  readonly problems: readonly ConfigProblem[];
  /** Where a field stands: its value, its key, or the nearest parent that is there. */
  locate(path: ConfigPath, part?: 'key' | 'value'): { line: number; column: number };
}

const hints: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'indentation by a tab; use spaces',
  MULTIPLE_DOCS: 'a second document (`---`) begins here; a configuration is one document',
};

const maxAliases = 100;
const maxDepth = 32;
/** Nobody reads more. */
export const maxProblems = 100;

const keyText = (key: unknown): string => (isScalar(key) ? String(key.value) : String(key));

export const fieldName = (path: ConfigPath): string =>
  path.reduce<string>(
    (field, part) =>
      typeof part === 'number'
        ? `${field}[${part}]`
        : /^[\w-]+$/.test(part)
          ? `${field}${field && '.'}${part}`
          : `${field}[${JSON.stringify(part)}]`,
    '',
  );

/** Parses YAML 1.2 and remembers where everything stands. Never throws, and never repeats the text: it may hold secrets. */
export function parseYaml(text: string): YamlSource {
  const counter = new LineCounter();
  const at = (offset: number): { line: number; column: number } => {
    const { line, col } = counter.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const failed = (message: string): YamlSource => ({
    data: undefined,
    problems: [{ line: 1, column: 1, field: '', message, code: 'configInvalid' }],
    locate: () => ({ line: 1, column: 1 }),
  });
  const deepest = deepestBracket(text);
  if (deepest > 256) return failed('is nested too deeply');
  let doc: Document.Parsed;
  try {
    doc = parseDocument(text, {
      lineCounter: counter,
      prettyErrors: false,
      merge: true,
      stringKeys: true,
      uniqueKeys: false,
    });
  } catch (error) {
    return failed(error instanceof RangeError ? 'is nested too deeply' : 'is not readable as YAML');
  }
  const problems: ConfigProblem[] = [...doc.errors, ...doc.warnings].slice(0, maxProblems).map((error) => ({
    ...at(error.pos[0]),
    field: '',
    message: hints[error.code] ?? `is not valid YAML: ${withoutQuotedText(error.message)}`,
    code: 'configInvalid',
  }));
  const report = (offset: number, message: string): void =>
    void problems.push({ ...at(offset), field: '', message, code: 'configInvalid' });
  let aliases = 0;
  // In the order of the document: an alias refers to an anchor before it.
  const anchors = new Set<string>();
  const checkNode = (node: unknown, depth: number): void => {
    const offset = (node as Node | null)?.range?.[0] ?? 0;
    if (problems.length >= maxProblems) return;
    if (isAlias(node)) {
      if (++aliases > maxAliases) report(offset, `there are more than ${maxAliases} aliases; write the values out`);
      else if (!anchors.has(node.source)) report(offset, 'an alias to an anchor that is not there');
      return;
    }
    const { anchor } = (node ?? {}) as { anchor?: string };
    if (anchor !== undefined) anchors.add(anchor);
    if (depth > maxDepth) report(offset, 'is nested too deeply');
    else if (isMap(node)) {
      const keys = new Set<string>();
      for (const { key, value } of node.items) {
        const text = keyText(key);
        if (keys.has(text)) report((key as Node | null)?.range?.[0] ?? offset, 'this key is there twice; keep one');
        keys.add(text);
        checkNode(value, depth + 1);
      }
    } else if (isSeq(node)) for (const item of node.items) checkNode(item, depth + 1);
  };
  checkNode(doc.contents, 0);
  let data: unknown;
  if (problems.length === 0) {
    try {
      data = doc.toJS({ maxAliasCount: maxAliases });
    } catch (error) {
      problems.push({
        line: 1,
        column: 1,
        field: '',
        message:
          error instanceof ReferenceError
            ? `its anchors and aliases expand to too much (more than ${maxAliases}); write the values out`
            : 'is not readable as YAML',
        code: 'configInvalid',
      });
    }
  }
  return {
    data,
    problems,
    locate: (path, part = 'value') => at(locateOffset(doc, path, part)),
  };
}

/** The parser recurses; brackets nested thousands deep would end the process' stack instead of in an error. */
function deepestBracket(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (const c of text) {
    if (c === '[' || c === '{') deepest = Math.max(deepest, ++depth);
    else if (c === ']' || c === '}') depth = Math.max(0, depth - 1);
  }
  return deepest;
}

const withoutQuotedText = (message: string): string =>
  message.split('\n')[0]?.replaceAll(/: .*$/g, '').slice(0, 120) ?? '';

function locateOffset(doc: Document.Parsed, path: ConfigPath, part: 'key' | 'value'): number {
  let node: unknown = doc.contents;
  let offset = (node as Node | null)?.range?.[0] ?? 0;
  for (const [i, step] of path.entries()) {
    if (isAlias(node)) node = node.resolve(doc);
    const last = i === path.length - 1;
    if (isMap(node)) {
      const pair = node.items.find((item) => keyText(item.key) === String(step));
      if (!pair) return offset;
      const key = (pair.key as Node | null)?.range?.[0] ?? offset;
      const value = pair.value as Node | null;
      // The value of a block mapping begins at its first key: the key above it says more. So does that of a value that is not there.
      offset =
        (last && part === 'key') || !value || isMap(value) || isSeq(value) || value.range?.[0] === value.range?.[1]
          ? key
          : (value.range?.[0] ?? key);
      node = value;
    } else if (isSeq(node)) {
      const item = node.items[Number(step)] as Node | undefined;
      if (!item) return offset;
      offset = item.range?.[0] ?? offset;
      node = item;
    } else return offset;
  }
  return offset;
}
