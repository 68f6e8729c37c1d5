import type { LoadedConfig } from '../config/load.ts';
import { targetSettings } from '../activities/target-settings.ts';
import { resolveConnection, withClient } from '../providers/postgres/connection.ts';
import { dropSlot, slotName } from '../providers/wal/slots.ts';

/** @returns the servers it was dropped on */
export async function dropSlots(loaded: LoadedConfig, target: string): Promise<string[]> {
  const dropped: string[] = [];
  for (const endpoint of targetSettings({ loaded }, target).endpoints) {
    const connection = resolveConnection(endpoint.url(), endpoint.overrides());
    if (await withClient(connection, (client) => dropSlot(client, slotName(target)))) dropped.push(connection.redacted);
  }
  return dropped;
}
