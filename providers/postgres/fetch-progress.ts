import type { OnProgress } from '../../domain/ports.ts';

/** Adds up what is fetched. @returns to be told of the bytes that came since the last call */
export function fetchProgress(totalBytes: number, onProgress: OnProgress | undefined): (bytes: number) => void {
  let doneBytes = 0;
  return (bytes) => {
    doneBytes += bytes;
    onProgress?.({ phase: 'fetch', doneBytes, totalBytes });
  };
}
