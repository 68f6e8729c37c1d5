import type { z } from 'zod';
import type { RawProblem } from './cross-check.ts';
import { show } from './leaf-core.ts';
import { didYouMean } from './suggest.ts';

type Issue = z.core.$ZodIssue;

/** Turns zod's issues into sentences; the leaves have written theirs already. */
export function explain(issues: readonly Issue[]): RawProblem[] {
  return issues.flatMap((issue) => {
    const path = issue.path.map((part) => (typeof part === 'number' ? part : String(part)));
    switch (issue.code) {
      case 'unrecognized_keys': {
        const known = issue.message.split(' ');
        return issue.keys
          .slice(0, 100)
          .map((key) => ({ path: [...path, key], part: 'key' as const, message: unknownKey(key, known) }));
      }
      case 'invalid_type':
        return [
          {
            path,
            ...(issue.expected === 'array' ? {} : { part: 'key' as const }),
            message: wrongShape(issue.expected, issue.message),
          },
        ];
      case 'invalid_union': {
        const words = issue.message.split(' ');
        return [{ path, message: `is missing or unknown; use one of: ${words.join(', ')}` }];
      }
      case 'too_small':
        return [{ path, message: 'is an empty list; name at least one, or remove the key', part: 'key' as const }];
      case 'custom': {
        const code = (issue.params as { code?: RawProblem['code'] } | undefined)?.code;
        return [{ path, message: issue.message, ...(code === 'configUnsafe' ? { code } : {}) }];
      }
      default:
        return [{ path, message: `is not valid: ${issue.message}` }];
    }
  });
}

function unknownKey(key: string, known: readonly string[]): string {
  const guess = didYouMean(key, known);
  const list = known.length <= 12 ? `; known here are ${known.join(', ')}` : '';
  return `${show(key)} is not a known key${guess || list}`;
}

const wrongShape = (expected: string, message: string): string => {
  const missing = message.includes('received undefined')
    ? 'is missing; it'
    : message.includes('received null')
      ? 'is empty; it'
      : 'it';
  const what =
    expected === 'array'
      ? 'a list: [a, b]'
      : expected === 'object' || expected === 'record'
        ? 'a mapping of keys to values'
        : `a ${expected}`;
  return `${missing} must be ${what}`;
};
