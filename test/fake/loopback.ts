/** An HTTP server on loopback whose answers a test writes itself. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';

export interface Asked {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** performance.now() at its arrival. */
  readonly atMs: number;
  readonly socket: Socket;
}
export interface Loopback {
  /** Without a slash at the end. */
  readonly url: string;
  readonly port: number;
  /** All requests so far. */
  readonly asked: readonly Asked[];
  /** Connections so far; with TLS: handshakes. */
  readonly connections: number;
  /** Connections that are open. */
  readonly open: ReadonlySet<Socket>;
  close(): Promise<void>;
}

/** `answer` writes to the response; a promise that rejects gives 500 with its text. Closed at the end of the scope. */
export async function startLoopback(
  scope: { after(run: () => Promise<void>): void },
  answer: (asked: Asked, response: ServerResponse) => void | Promise<void>,
  tls?: ServerOptions,
): Promise<Loopback> {
  const asked: Asked[] = [];
  const open = new Set<Socket>();
  let connections = 0;
  const listener: Parameters<typeof createServer>[1] = async (request, response) => {
    request.setEncoding('utf8');
    let body = '';
    for await (const chunk of request) body += chunk;
    const { method = '', url: path = '', headers, socket } = request;
    const query = new URL(path, 'http://x').searchParams;
    const one: Asked = { method, path, query, headers, body, atMs: performance.now(), socket };
    asked.push(one);
    try {
      await answer(one, response);
    } catch (error) {
      response.writeHead(500).end(String(error));
    }
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
    connections += 1;
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  };
  scope.after(close);
  return {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    port,
    asked,
    get connections() {
      return connections;
    },
    open,
    close,
  };
}

export function json(
  response: ServerResponse,
  value: object,
  status = 200,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
}

/** The API server's error body. */
export function status(code: number, reason: string, message = reason, details?: object): object {
  const failure = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure' };
  return { ...failure, message, reason, code, ...(details === undefined ? {} : { details }) };
}
