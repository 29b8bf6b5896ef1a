/** A TCP proxy before an API server that breaks connections when a test says so; what it carries (TLS or not) stays closed to it. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface FaultProxy {
  readonly port: number;
  /** Connections so far. */
  readonly connections: number;
  /** Breaks all connections with a reset, and new ones while `refusing`. */
  reset(): void;
  /** Lets nothing through any more in either direction, without a word, for connections that are open now. */
  silence(): void;
  refusing: boolean;
}

export async function startFaultProxy(
  scope: { after(run: () => Promise<void>): void },
  target: { readonly port: number },
): Promise<FaultProxy> {
  const open = new Set<Socket>(); // both ends of each connection
  let connections = 0;
  const server = createServer((client) => {
    if (proxy.refusing) return void client.resetAndDestroy();
    connections += 1;
    const upstream = connect(target.port, '127.0.0.1');
    client.pipe(upstream);
    upstream.pipe(client);
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(socket);
      socket.on('error', () => {}); // what a broken end means is told to the other one by its close
      socket.once('close', () => {
        open.delete(socket);
        other.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const proxy = {
    port,
    refusing: false,
    get connections() {
      return connections;
    },
    reset() {
      for (const socket of open) socket.resetAndDestroy();
    },
    silence() {
      for (const socket of open) socket.unpipe().pause();
    },
  };
  scope.after(async () => {
    for (const socket of open) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return proxy;
}
