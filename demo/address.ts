import { openLine, type Line } from './line.ts';

/** Gives a server on this machine an address of its own, as if it were another machine: same port, other address. */
export const giveAddress = (address: string, port: number, serverPort: number): Promise<Line> =>
  openLine({ host: address, port }, serverPort, (near, far) => {
    near.pipe(far);
    far.pipe(near);
  });
