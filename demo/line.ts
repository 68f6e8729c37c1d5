import { type Socket, connect, createServer } from 'node:net';

export interface Line {
  close(): Promise<void>;
}

/** A line to a server on this machine: what comes in at `host:port` goes to it by `join`; when one end closes, so does the other. */
export async function openLine(at: { readonly host: string; readonly port: number }, serverPort: number, join: (near: Socket, far: Socket) => void): Promise<Line> {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect({ host: '127.0.0.1', port: serverPort });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    join(near, far);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(at.port, at.host, resolve);
  });
  return {
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
