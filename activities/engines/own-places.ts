import type { LoadedConfig } from '../../config/load.ts';
import type { TargetSettings } from '../target-settings.ts';

export interface OwnPlace {
  readonly what: string;
  /** As it is configured. */
  readonly path: string;
}

/**
 * What is in no backup of files, for each would hold the ones before it, and what must outlive any tree that is exchanged: repositories, our state, staging.
 */
export const ownPlaces = ({ config, stateDir }: LoadedConfig, target: TargetSettings['config']): OwnPlace[] => [
  ...Object.entries(config.repositories).flatMap(([name, repository]) => (repository.type === 'disk' ? [{ what: `repository ${name}`, path: repository.path }] : [])),
  { what: 'the state directory', path: stateDir },
  ...(target.staging === undefined ? [] : [{ what: 'the staging directory', path: target.staging }]),
];

/** Their paths, as {@link Selection} takes them in `never`. */
export const ownPaths = (loaded: LoadedConfig, target: TargetSettings['config']): string[] => ownPlaces(loaded, target).map(({ path }) => path);
