/** JSON from strangers: valid UTF-8, one meaning (no key twice), bounded depth. */
import { Problem } from './problem.ts';

const maxDepth = 64;
const decoder = new TextDecoder('utf-8', { fatal: true });

/** @throws Problem 400 */
export function strictJson(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    throw new Problem(400, 'the body is not valid UTF-8');
  }
  if (text.trim() === '') throw new Problem(400, 'the body is empty');
  checkShape(text);
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new Problem(400, 'the body is not valid JSON');
  }
}

/**
 * Walks the text once. What reads a key that stands twice may take either value: somebody in front of us may have checked the other one.
 * Only strings and brackets matter here; JSON.parse finds everything else that is wrong.
 */
function checkShape(text: string): void {
  const keys: (Set<string> | undefined)[] = [];
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (char === '{' || char === '[') {
      keys.push(char === '{' ? new Set() : undefined);
      if (keys.length > maxDepth) throw new Problem(400, `the body is nested deeper than ${String(maxDepth)}`);
    } else if (char === '}' || char === ']') keys.pop();
    else if (char === '"') {
      const start = i;
      i++;
      while (i < text.length && text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
      const known = keys.at(-1);
      if (known === undefined) continue;
      let next = i + 1;
      while (next < text.length && ' \t\r\n'.includes(text[next] as string)) next++;
      if (text[next] !== ':') continue;
      const raw = text.slice(start, i + 1);
      const key = raw.includes('\\') ? unescape(raw) : raw;
      if (known.has(key)) throw new Problem(400, 'the body has a key twice in one object');
      known.add(key);
    }
  }
}

/** `"a"` and `"\u0061"` are the same key. */
function unescape(raw: string): string {
  try {
    return JSON.stringify(JSON.parse(raw));
  } catch {
    return raw;
  }
}
