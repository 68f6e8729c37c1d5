import { continueAsNew, setCurrentDetails } from '@temporalio/workflow';
import { shift } from './activity-profiles.ts';

/**
 * Tells the dead-man switches of the configuration that all is well, or is not. Id: `deadman`; started by every worker that has some, once. One activity
 * heartbeats, so that nothing is written meanwhile; when its worker dies another goes on within seconds. Ends when the configuration has none any more.
 */
export async function deadman(): Promise<void> {
  setCurrentDetails('One activity pings while all is well (`resurgo status` shows the last pings).');
  const { pings } = await shift('ping the dead-man switches').watchHealth();
  if (pings > 0) await continueAsNew<typeof deadman>();
}
