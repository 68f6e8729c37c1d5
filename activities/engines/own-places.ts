import { realpath } from 'node:fs/promises';
import type { LoadedConfig } from '../../config/load.ts';
import type { TargetSettings } from '../target-settings.ts';

export interface OwnPlace {
  readonly what: string;
  /** As the system sees it, without symbolic links. */
  readonly path: string;
}

/** What is in no backup of files and must outlive any tree that is exchanged: repositories, our state, staging. */
export async function ownPlaces({ config, stateDir }: LoadedConfig, target: TargetSettings['config']): Promise<OwnPlace[]> {
  const places = [
    ...Object.entries(config.repositories).flatMap(([name, repository]) => (repository.type === 'disk' ? [{ what: `repository ${name}`, path: repository.path }] : [])),
    { what: 'the state directory', path: stateDir },
    ...(target.staging === undefined ? [] : [{ what: 'the staging directory', path: target.staging }]),
  ];
  return Promise.all(places.map(async (place) => ({ ...place, path: await realpath(place.path).catch(() => place.path) })));
}
