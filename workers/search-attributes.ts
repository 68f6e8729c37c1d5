import type { Connection } from '@temporalio/client';

/** Keyword search attributes Resurgo sets on its workflows. */
export const searchAttributeNames = ['ResurgoTarget', 'ResurgoOperation', 'ResurgoBackup', 'ResurgoOutcome', 'ResurgoPlan'] as const;

const keyword = 2;

/**
 * Makes sure the namespace knows our search attributes. False when it does not and they cannot be added here (Temporal Cloud has its own
 * API for it): workflows then run without them, because setting an unknown one would block a workflow for ever.
 */
export async function ensureSearchAttributes(connection: Connection, namespace: string): Promise<boolean> {
  try {
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
    const missing = searchAttributeNames.filter((name) => customAttributes[name] === undefined);
    if (missing.length === 0) return true;
    await connection.operatorService.addSearchAttributes({ namespace, searchAttributes: Object.fromEntries(missing.map((name) => [name, keyword])) });
    return true;
  } catch {
    return false;
  }
}
