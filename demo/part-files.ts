import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Files of parts below a disk repository, finished ones only. */
export function partFiles(root: string): string[] {
  try {
    return readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.parentPath.endsWith('/parts') && /^[0-9a-z]+-\d+$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name));
  } catch {
    return [];
  }
}
