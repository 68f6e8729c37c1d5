import { lchown, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pathBytes, textOfBytes } from '../vault/tar-path.ts';

export interface DataTree {
  /** Paths relative to the data directory; tablespaces appear below `pg_tblspc/<oid>/`. */
  readonly files: readonly { readonly path: string; readonly full: string }[];
  readonly directories: readonly { readonly path: string; readonly full: string }[];
  readonly links: readonly { readonly path: string; readonly full: string }[];
}

/**
 * Everything in a data directory, tablespaces included: their links are followed only where `tablespaces` (oid → directory) says.
 */
export async function readDataTree(
  dir: string,
  tablespaces: ReadonlyMap<string, string> = new Map(),
): Promise<DataTree> {
  const tree = {
    files: [] as { path: string; full: string }[],
    directories: [] as { path: string; full: string }[],
    links: [] as { path: string; full: string }[],
  };
  const visit = async (full: string, path: string): Promise<void> => {
    tree.directories.push({ path, full });
    for (const entry of await readdir(pathBytes(full), { withFileTypes: true, encoding: 'buffer' })) {
      const name = textOfBytes(entry.name);
      const child = path === '' ? name : `${path}/${name}`;
      const childFull = join(full, name);
      if (entry.isDirectory()) await visit(childFull, child);
      else if (entry.isSymbolicLink()) tree.links.push({ path: child, full: childFull });
      else if (entry.isFile()) tree.files.push({ path: child, full: childFull });
    }
  };
  await visit(dir, '');
  for (const [oid, location] of tablespaces) await visit(location, `pg_tblspc/${oid}`);
  return tree;
}

export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(pathBytes(path), 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Owner of directories and links (files are given away by treatFiles), then directories made durable, deepest first. */
export async function finishDirectories(
  tree: DataTree,
  options: { owner?: Owner | undefined; sync: boolean },
): Promise<void> {
  const { owner } = options;
  if (owner)
    for (const { full } of [...tree.directories, ...tree.links]) await lchown(pathBytes(full), owner.uid, owner.gid);
  if (options.sync) for (const { full } of tree.directories.toReversed()) await syncDirectory(full);
}
