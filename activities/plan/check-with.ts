/** Whether an action would take a `with:` in which some values are not known yet. */
import type { Action } from '../../domain/action.ts';
import { isResurgoError } from '../../domain/errors.ts';
import type { InputProblem } from '../actions/input.ts';
import { hasExpression } from './expressions.ts';
import { mapReferences } from './references.ts';

type Path = readonly (string | number)[];
/** Stands for a text that is not known yet. */
export const knownLater = 'known-later';

/** Expressions and references replaced by a text; and where they stood. */
function masked(value: unknown): { value: unknown; at: Path[] } {
  const at: Path[] = [];
  const withoutRefs = mapReferences(value, (_, where) => {
    at.push(where);
    return knownLater;
  });
  const visit = (inner: unknown, where: Path): unknown => {
    if (hasExpression(inner)) {
      at.push(where);
      return knownLater;
    }
    if (Array.isArray(inner)) return inner.map((each, index) => visit(each, [...where, index]));
    if (typeof inner === 'object' && inner !== null) return Object.fromEntries(Object.entries(inner).map(([key, each]) => [key, visit(each, [...where, key])]));
    return inner;
  };
  return { value: visit(withoutRefs, []), at };
}

const covers = (a: Path, b: Path): boolean => a.length <= b.length && a.every((part, index) => String(part) === String(b[index]));

/** The parsed input as far as it is known; undefined when it depends on what is known later. */
export function checkWith(action: Action, value: unknown): { readonly problems: readonly InputProblem[]; readonly input?: unknown } {
  const { value: known, at } = masked(value);
  try {
    return { problems: [], input: action.parse(known) };
  } catch (error) {
    const listed = isResurgoError(error) ? (error.details['problems'] as readonly InputProblem[] | undefined) : undefined;
    const problems = listed ?? [{ path: [], message: error instanceof Error ? error.message : String(error) }];
    return { problems: problems.filter(({ path }) => !at.some((where) => covers(where, path) || covers(path, where))) };
  }
}

/** Without the values of references: enough to tell host and subject where the action takes any text there. */
export const withoutSecrets = (value: unknown): unknown => mapReferences(value, () => knownLater);
