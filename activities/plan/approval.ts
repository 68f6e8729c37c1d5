/**
 * An approval is proved by the approver's own token, which is known to that person and to the workers: an HMAC over run, step, preview hash and
 * decision goes into the history, never the token. So one person cannot be several, and an approval cannot be used for anything else.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { ResurgoError } from '../../domain/errors.ts';
import type { Config } from '../../config/schema.ts';
import { resolveSecret } from '../../config/secret.ts';

export interface ApprovalFacts {
  readonly run: string;
  readonly step: string;
  readonly hash: string;
  readonly as: string;
  readonly decision: 'approve' | 'reject';
}
export interface ApprovalProof extends ApprovalFacts {
  readonly proof: string;
}

export const proveApproval = (token: string, { run, step, hash, as, decision }: ApprovalFacts): string =>
  createHmac('sha256', token).update(['resurgo approval 1', run, step, hash, as, decision].join('\0')).digest('hex');

/** @throws approvalInvalid */
export function checkApprovalProof(config: Config, given: ApprovalProof): void {
  const approvers = config.approvers ?? {};
  const approver = Object.hasOwn(approvers, given.as) ? approvers[given.as] : undefined;
  if (approver === undefined) throw new ResurgoError('approvalInvalid', `${given.as} is none of the approvers`);
  const wanted = Buffer.from(proveApproval(resolveSecret(approver.token, `approvers.${given.as}.token`), given), 'hex');
  const shown = Buffer.from(/^[0-9a-f]{64}$/.test(given.proof) ? given.proof : '', 'hex');
  if (shown.length !== wanted.length || !timingSafeEqual(shown, wanted)) throw new ResurgoError('approvalInvalid', `the proof is not by the token of ${given.as}, or not for step ${given.step} of this run as it is now`);
}
