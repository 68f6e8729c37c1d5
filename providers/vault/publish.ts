/** What makes a sealed dump a backup: index, checksums, signed manifest. */
export { canonicalJson } from './canonical-json.ts';
export { openIndex, sealIndex } from './index-file.ts';
export { formatManifest, parseManifest, signManifest } from './manifest.ts';
export type { ParseManifestOptions } from './manifest.ts';
export { parseSha256Sums, sha256Hex, sha256Sums } from './sums.ts';
export type { SumsEntry } from './sums.ts';
