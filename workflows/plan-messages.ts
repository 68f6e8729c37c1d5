/** What people may ask of a running plan, from the CLI, the Temporal UI or the Temporal CLI. */
import { defineQuery, defineUpdate } from '@temporalio/workflow';
import type { PlanMode } from '../domain/plan/model.ts';
import type { PlanView } from '../domain/plan/view.ts';

interface By {
  /** Who asks; written down, not proved. */
  readonly by?: string;
  readonly reason?: string;
}

export const planQuery = defineQuery<PlanView>('plan');
export const pauseUpdate = defineUpdate<string, [By | undefined]>('pause');
export const resumeUpdate = defineUpdate<string, [By | undefined]>('resume');
export const abortUpdate = defineUpdate<string, [By | undefined]>('abort');
export const skipUpdate = defineUpdate<string, [(By & { readonly step?: string }) | undefined]>('skip');
export const retryUpdate = defineUpdate<string, [(By & { readonly step?: string }) | undefined]>('retry');
export const modeUpdate = defineUpdate<string, [(By & { readonly mode?: PlanMode }) | undefined]>('mode');
export const answerUpdate = defineUpdate<string, [(By & { readonly step?: string; readonly answer?: 'applied' | 'notApplied' }) | undefined]>('answer');
/** `hash`: of the preview that is approved; `proof`: see activities/plan/approval.ts. */
export const approveUpdate = defineUpdate<string, [{ readonly step?: string; readonly as: string; readonly hash: string; readonly proof: string }]>('approve');
export const rejectUpdate = defineUpdate<string, [{ readonly step?: string; readonly as: string; readonly hash: string; readonly proof: string; readonly reason?: string }]>('reject');
