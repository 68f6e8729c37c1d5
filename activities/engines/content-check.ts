import type { EngineCheck } from '../../providers/vault/verify.ts';
import { engineDefinition } from './index.ts';

/** The engine's own check of the plaintext read back; where it has none, the streams' own digests and sizes suffice. */
export const contentCheck: EngineCheck = (context) => engineDefinition(context.index.engine.engine).contentCheck?.(context) ?? { write: () => undefined };
