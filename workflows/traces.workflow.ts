import { continueAsNew, setCurrentDetails } from '@temporalio/workflow';
import type { TraceMark } from '../domain/trace.ts';
import { shift } from './activity-profiles.ts';

/**
 * Sends every run that ends to the collector of `telemetry.traces`. Id: `traces`; started by every worker that has one configured, once. One activity heartbeats how
 * far it is; when its worker dies another goes on from there. Ends when the configuration has none any more.
 */
export async function traces(from: TraceMark | null): Promise<void> {
  setCurrentDetails('One activity sends the traces of runs that have ended (docs/guides/traces.md).');
  const mark = await shift('send traces').sendTraces(from);
  if (mark !== null) await continueAsNew<typeof traces>(mark);
}
