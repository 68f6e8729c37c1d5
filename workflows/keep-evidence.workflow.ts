import { setCurrentDetails } from '@temporalio/workflow';
import type { EvidenceDocument } from '../domain/evidence.ts';
import { lightOn } from './activity-profiles.ts';

/**
 * Keeps a record in the repositories, for whoever cannot wait until one of them answers. Started by incidents when one is over; it outlives them. Id:
 * `evidence/<id of the document>`.
 */
export async function keepEvidence(document: EvidenceDocument): Promise<void> {
  setCurrentDetails(`Keeps the record ${document.id} in the repositories.`);
  const patience = { scheduleToCloseTimeout: '3 days', retry: { initialInterval: '2 seconds', backoffCoefficient: 2, maximumInterval: '5 minutes' } } as const;
  await lightOn(null, 'keep the record in the repositories', patience).recordEvidence({ document });
}
