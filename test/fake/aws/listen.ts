import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { FakeAws } from './aws.ts';

/** The fake on a loopback port, for what reads AWS_ENDPOINT_URL: `url` until `close`. */
export async function listen({ clientOptions }: FakeAws): Promise<{ readonly url: string; close(): Promise<void> }> {
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const sent = { headers: request.headers as Record<string, string>, body: Buffer.concat(parts).toString() };
      clientOptions.requestHandler.handle(sent).then(
        ({ response: { statusCode, headers, body } }) => response.writeHead(statusCode, headers).end(body),
        () => response.destroy(), // a fault that breaks the connection
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
