/**
 * `${{ … }}`: expressions of plans in CEL (https://cel.dev), which has no loops, no side effects and no access to anything but its variables.
 * Evaluated on the host side, once per step; the result is what the history remembers.
 */
import { Environment, type ASTNode } from '@marcbachmann/cel-js';
import { ResurgoError } from '../../domain/errors.ts';
import type { Json, PlanMode } from '../../domain/plan/model.ts';

/** What an expression may ask for. */
export interface ExpressionContext {
  readonly steps: Readonly<Record<string, { readonly status: string; readonly output: Json }>>;
  readonly params: Readonly<Record<string, Json>>;
  readonly incident: Json;
  readonly mode: PlanMode;
  readonly target: string;
  readonly plan: string;
  readonly run: string;
}

const limits = { maxAstNodes: 300, maxDepth: 40, maxListElements: 100, maxMapEntries: 100, maxCallArguments: 8 };
const environment = new Environment({ homogeneousAggregateLiterals: false, enableOptionalTypes: true, limits })
  .registerVariable('steps', 'map')
  .registerVariable('params', 'map')
  .registerVariable('incident', 'dyn')
  .registerVariable('mode', 'string')
  .registerVariable('target', 'string')
  .registerVariable('plan', 'string')
  .registerVariable('run', 'string');
export const expressionVariables = ['steps', 'params', 'incident', 'mode', 'target', 'plan', 'run'] as const;

const maxExpression = 2000;

/** A name the expression reaches for: `steps.x.output.y`, `params.p`. */
export interface Reference {
  readonly root: string;
  readonly path: readonly string[];
}

/** @returns what is wrong with it, or its type and what it refers to */
export function checkExpression(text: string): { readonly problem: string } | { readonly type: string; readonly references: readonly Reference[] } {
  if (text.length > maxExpression) return { problem: `is longer than ${String(maxExpression)} characters` };
  try {
    const parsed = environment.parse(text);
    const references: Reference[] = [];
    const problem = walk(parsed.ast, references);
    if (problem !== undefined) return { problem };
    const checked = environment.check(text);
    if (!checked.valid) return { problem: oneLine(checked.error?.message ?? 'is not valid') };
    return { type: checked.type ?? 'dyn', references };
  } catch (error) {
    return { problem: oneLine(error instanceof Error ? error.message : String(error)) };
  }
}

const oneLine = (message: string): string => message.split('\n')[0] ?? message;

function walk(node: unknown, references: Reference[]): string | undefined {
  if (Array.isArray(node)) {
    for (const each of node as readonly unknown[]) {
      const problem = walk(each, references);
      if (problem !== undefined) return problem;
    }
    return undefined;
  }
  if (typeof node !== 'object' || node === null || !('op' in node)) return undefined;
  const ast = node as ASTNode;
  // Backtracking of a regular expression over what an alert says has no bound.
  if ((ast.op === 'rcall' || ast.op === 'call') && ast.args[0] === 'matches') return 'matches() is not available here; use contains(), startsWith() or endsWith()';
  const reference = referenceOf(ast);
  if (reference !== undefined) {
    references.push(reference);
    if (reference.path.length > 0) return undefined;
  }
  return walk(ast.args, references);
}

function referenceOf(node: ASTNode): Reference | undefined {
  const path: string[] = [];
  for (let at: ASTNode = node; ; ) {
    if (at.op === 'id') return { root: at.args, path: path.reverse() };
    if (at.op === '.' || at.op === '.?') {
      path.push(at.args[1]);
      at = at.args[0];
    } else if ((at.op === '[]' || at.op === '[?]') && at.args[1].op === 'value' && typeof at.args[1].args === 'string') {
      path.push(at.args[1].args);
      at = at.args[0];
    } else return undefined;
  }
}

/** @throws inputInvalid naming the expression */
export function evaluate(text: string, context: ExpressionContext): Json {
  try {
    return fromCel(environment.evaluate(text, toCel(context) as Record<string, unknown>));
  } catch (error) {
    if (error instanceof ResurgoError) throw error;
    throw new ResurgoError('inputInvalid', `\${{ ${text.trim()} }}: ${oneLine(error instanceof Error ? error.message : String(error))}`);
  }
}

/** JSON has one kind of number, CEL tells whole ones apart. */
function toCel(value: unknown): unknown {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map(toCel);
  if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, toCel(inner)]));
  return value;
}

function fromCel(value: unknown): Json {
  if (typeof value === 'bigint') return Number(value);
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : null;
  if (Array.isArray(value)) return value.map(fromCel);
  if (value instanceof Map) return Object.fromEntries([...(value as Map<unknown, unknown>)].map(([key, inner]) => [String(key), fromCel(inner)]));
  if (typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype) return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, fromCel(inner)]));
  throw new ResurgoError('inputInvalid', 'an expression has a value that is no text, number, true, false, list or mapping');
}

/** The pieces of a text: what stands between `${{` and `}}`, and the rest. */
export function splitTemplate(text: string): readonly { readonly expression?: string; readonly text?: string }[] {
  const parts: { expression?: string; text?: string }[] = [];
  let at = 0;
  for (;;) {
    const begin = text.indexOf('${{', at);
    if (begin < 0) break;
    const end = text.indexOf('}}', begin + 3);
    if (end < 0) break;
    if (begin > at) parts.push({ text: text.slice(at, begin) });
    parts.push({ expression: text.slice(begin + 3, end) });
    at = end + 2;
  }
  if (at < text.length || parts.length === 0) parts.push({ text: text.slice(at) });
  return parts;
}

export const hasExpression = (value: unknown): value is string => typeof value === 'string' && value.includes('${{');

/** Replaces every expression of a value. A text that is nothing but one expression becomes its value, else it is put into the text. @throws inputInvalid */
export function fillTemplates(value: Json, context: ExpressionContext): Json {
  if (typeof value === 'string') {
    if (!hasExpression(value)) return value;
    const parts = splitTemplate(value);
    if (parts.length === 1 && parts[0]?.expression !== undefined) return evaluate(parts[0].expression, context);
    return parts.map((part) => (part.expression === undefined ? (part.text ?? '') : inText(evaluate(part.expression, context)))).join('');
  }
  if (Array.isArray(value)) return (value as readonly Json[]).map((inner) => fillTemplates(inner, context));
  if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, fillTemplates(inner, context)]));
  return value;
}

const inText = (value: Json): string => (typeof value === 'string' ? value : JSON.stringify(value));
