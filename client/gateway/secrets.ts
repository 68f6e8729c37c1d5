import { timingSafeEqual, createHash, createHmac } from 'node:crypto';
import { resolveSecret, type Secret } from '../../config/secret.ts';

const rereadMs = 10_000;

/** Secrets of one webhook, read again once in a while so that a rotated file needs no restart; what cannot be read any more stays as it was. */
export class SecretSet {
  private readonly secrets: readonly Secret[];
  private readonly what: string;
  private values: readonly string[];
  private readAt: number;

  /** @throws configInvalid, configUnsafe */
  constructor(secrets: readonly Secret[], what: string, env?: NodeJS.ProcessEnv) {
    this.secrets = secrets;
    this.what = what;
    this.values = secrets.map((secret) => resolveSecret(secret, what, env));
    this.readAt = performance.now();
  }

  all(): readonly string[] {
    if (performance.now() - this.readAt > rereadMs) {
      this.readAt = performance.now();
      try {
        this.values = this.secrets.map((secret) => resolveSecret(secret, this.what));
      } catch {
        // The old ones are better than none.
      }
    }
    return this.values;
  }
}

const hashed = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Whether any of the known values is the given one, in a time that tells nothing of either. */
export function anyEquals(known: readonly string[], given: string): boolean {
  const wanted = hashed(given);
  let found = false;
  for (const value of known) found = timingSafeEqual(hashed(value), wanted) || found;
  return found;
}

export const hmacHex = (secret: string, ...parts: readonly (string | Uint8Array)[]): string => {
  const mac = createHmac('sha256', secret);
  for (const part of parts) mac.update(part);
  return mac.digest('hex');
};

/** Whether any of the signatures was made with any of the secrets over these bytes. */
export function anySigned(secrets: readonly string[], signatures: readonly string[], parts: readonly (string | Uint8Array)[]): boolean {
  const given = signatures.slice(0, 8).map((signature) => signature.trim().toLowerCase());
  let found = false;
  for (const secret of secrets) {
    const right = hmacHex(secret, ...parts);
    for (const signature of given) found = anyEquals([right], signature) || found;
  }
  return found;
}
